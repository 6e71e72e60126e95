"""A storm: writers change all kinds of rows while the sidecar is killed at random moments."""

import random
import threading
from dataclasses import dataclass, field

import psycopg

from tests.acceptance.conftest import Service
from tests.acceptance.sidecar import Sidecar

WRITERS = 4  # so that transactions overlap; each has its own ids
_KEYS = 300  # per writer, so that writers do not wait for each other
_pause = threading.Event()  # never set


@dataclass
class Storm:
    """Writers on table `items`. The same seed gives the same statements."""

    service: Service
    seed: int
    transactions: int = 0  # committed
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _errors: list[BaseException] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """Start the writers."""
        for number in range(WRITERS):
            thread = threading.Thread(target=self._write, args=(number,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def end(self) -> None:
        """Stop the writers and fail if one of them failed."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        if self._errors:
            raise self._errors[0]

    def _write(self, number: int) -> None:
        chance = random.Random(f"{self.seed}/{number}")  # noqa: S311 - a reproducible test
        try:
            with psycopg.connect(self.service.dsn, autocommit=True) as connection:
                while not self._stop.wait(chance.uniform(0, 0.01)):
                    committed = _transaction(connection, chance, number * 1_000_000)
                    with self._lock:
                        self.transactions += committed
        except psycopg.Error as error:
            self._errors.append(error)


def kill_at_any_moment(sidecar: Sidecar, chance: random.Random, number: int) -> None:
    """Kill the sidecar at a random moment; wait until it streams only after every second kill."""
    _pause.wait(chance.uniform(0, 1.5))
    sidecar.kill()
    sidecar.start()
    if number % 2:
        sidecar.await_phase("streaming", deadline=60)


def _transaction(connection: psycopg.Connection, chance: random.Random, base: int) -> bool:
    """Run a transaction of several statements; sometimes roll back all or part of it.

    Return whether it was committed.
    """
    rolled_back = chance.random() < 0.1
    with connection.transaction(force_rollback=rolled_back):
        for _ in range(chance.choice((1, 1, 2, 5))):
            _statement(connection, chance, base)
        if chance.random() < 0.3:
            with connection.transaction(force_rollback=chance.random() < 0.5):
                _statement(connection, chance, base)
    return not rolled_back


def _statement(connection: psycopg.Connection, chance: random.Random, base: int) -> None:
    key, other = (base + chance.randrange(_KEYS) for _ in range(2))
    match chance.choices(("insert", "update", "delete", "key", "many"), (4, 6, 2, 2, 1))[0]:
        case "insert":
            connection.execute(
                "INSERT INTO items VALUES (%s, %s, 'new') ON CONFLICT (id) DO NOTHING",
                (key, chance.randrange(1000)),
            )
        case "update":
            connection.execute("UPDATE items SET n = n + 1 WHERE id = %s", (key,))
        case "delete":
            connection.execute("DELETE FROM items WHERE id = %s", (key,))
        case "key":
            connection.execute(
                "UPDATE items SET id = %(to)s WHERE id = %(from)s"
                " AND NOT EXISTS (SELECT FROM items WHERE id = %(to)s)",
                {"from": key, "to": other},
            )
        case _:
            connection.execute(
                "INSERT INTO items SELECT %s + n, n, 'many' FROM generate_series(0, 60) n"
                " ON CONFLICT (id) DO UPDATE SET label = 'again'",
                (base + _KEYS,),
            )
