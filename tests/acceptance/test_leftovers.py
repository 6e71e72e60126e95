"""A session leaves nothing behind, in whatever way it ends: no thread, no descriptor, no memory."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer

from cdc_sidecar.runtime.daemon import FENCES_ALLOWED
from cdc_sidecar.runtime.memory import ARENAS
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.brokers import IMPATIENT, QUICK, alter, insert
from tests.acceptance.conftest import MARKS, TABLES, Service, Services, services_in
from tests.acceptance.hasty import PROGRAM
from tests.acceptance.own_postgres import ITEMS, frozen
from tests.effort import LONG
from tests.waiting import await_true

pytestmark = pytest.mark.usefixtures("fresh_processes")

ROUNDS = 34 if LONG else 1  # of six sessions each (five of them in CI), after one that warms up
_TIMEOUT = "6s" if LONG else "3s"  # a throttled transaction must not fail twice before it may go on
_LATER = 20 if LONG else 1  # of these rounds, over which memory is compared
_GROWTH = 3_000_000  # bytes in this time; queues warm up in the first rounds
_HEAP = 64 * 1024 * 1024
"""Bytes that glibc reserves for an arena of malloc, at a multiple of this size."""
_WALSENDERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'"
)


@dataclass(frozen=True)
class Size:
    """What a process uses."""

    threads: int
    descriptors: int
    memory: int  # bytes

    def is_like(self, start: "Size") -> bool:
        """Whether it is the size at the start, with helpers and connections that come later."""
        helpers, connections = 2, 4
        return (
            self.threads <= start.threads + helpers
            and self.descriptors <= start.descriptors + connections
        )

    @classmethod
    def of(cls, pid: int) -> "Size":
        """Measure a process."""
        process = Path(f"/proc/{pid}")
        lines = (process / "status").read_text().splitlines()
        (memory,) = (line.split()[1] for line in lines if line.startswith("VmRSS:"))
        threads, descriptors = (len(list((process / name).iterdir())) for name in ("task", "fd"))
        return cls(threads, descriptors, int(memory) * 1024)


def _arenas(pid: int) -> int:
    """Count the arenas of malloc beside the first one: each begins a part of a reserved heap."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    parts = [line.split() for line in lines]
    spans = [[int(end, 16) for end in part[0].split("-")] for part in parts]
    return sum(
        start % _HEAP == 0 and rest == [end, start + _HEAP] and part[1] == "rw-p"
        for part, (start, end), rest in zip(parts, spans, spans[1:], strict=False)
    )


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[KafkaBroker]:
    """Yield a broker that a test can freeze."""
    with KafkaBroker(properties=QUICK) as broker:
        yield broker


@pytest.fixture
def services(tmp_path: Path, own_kafka: KafkaBroker) -> Iterator[Services]:
    """Make services on the servers of a single test."""
    yield from services_in(tmp_path, own_kafka)


class Life:
    """A sidecar whose sessions are ended in every way."""

    def __init__(self, service: Service, postgres: PostgresServer, kafka: KafkaBroker) -> None:
        self.service = service
        self._postgres = postgres
        self._kafka = kafka
        self._row = 0
        self._fences = 0
        self.ways = (
            self._stall,
            *([self._throttle] if LONG else []),  # it takes half a minute
            self._lose_both,
            self._restart_postgres,
            self._restart_kafka,
            self._fence,
        )

    def end_session(self, way: Callable[[], None]) -> None:
        """End the session, and wait until everything is published by the next one."""
        sessions = self._sessions()
        way()
        await_true(lambda: self._sessions() > sessions, deadline=60, what=way.__name__)
        self.service.sidecar.await_phase("streaming", deadline=60)
        self.service.await_published()

    def _sessions(self) -> int:
        return len(self.service.sidecar.events("stream_started"))

    def _write(self) -> None:
        self._row += 100
        insert(self.service, self._row)

    def _stall(self) -> None:
        """Freeze the broker for longer than a transaction may take."""
        with frozen(self._kafka.pid):
            self._lose_transaction()

    def _lose_transaction(self) -> None:
        """Write while the broker does not answer, and wait until the sidecar has given up."""
        sidecar = self.service.sidecar
        aborted = len(sidecar.events("transaction_aborted"))
        self._write()
        await_true(lambda: len(sidecar.events("transaction_aborted")) > aborted, what="it gave up")

    def _lose_both(self) -> None:
        """End the connection to Postgres while a commit waits for the broker."""
        sidecar = self.service.sidecar
        with frozen(self._kafka.pid):
            self._write()
            await_true(lambda: sidecar.get("/readyz")[0] == 503, what="the broker is missed")
            lost = len(sidecar.events("postgres_went_away"))
            self.service.sql(_WALSENDERS)
            await_true(
                lambda: len(sidecar.events("postgres_went_away")) > lost, what="the session ended"
            )
        self._write()
        self.service.sidecar.await_phase("streaming", deadline=60)
        self.service.sql(_WALSENDERS)

    def _throttle(self) -> None:
        """End the connection to Postgres while the broker throttles; then give a wide quota."""
        alter(self._kafka, "clients", "cdc-sidecar", "producer_byte_rate=1000")
        self._row += 100
        rows = f"generate_series({self._row}, {self._row + 20})"
        noise = "(SELECT string_agg(md5(n::text || i), '') FROM generate_series(1, 125) i)"
        self.service.sql(f"INSERT INTO items SELECT n, n, {noise} FROM {rows} n")
        self._write()
        self.service.sql(_WALSENDERS)
        alter(self._kafka, "clients", "cdc-sidecar", "producer_byte_rate=1000000000")

    def _restart_kafka(self) -> None:
        """Stop the broker while it is needed, and start it again."""
        self._kafka.stop()
        self._lose_transaction()
        self._kafka.start()

    def _restart_postgres(self) -> None:
        """Restart Postgres."""
        self._postgres.stop("immediate")
        self._postgres.start()

    def _fence(self) -> None:
        """Claim the same id with another producer; too many of these would end the process."""
        self._fences += 1
        if self._fences >= FENCES_ALLOWED:
            self.service.sql(_WALSENDERS)
            return
        rival = Producer({
            "bootstrap.servers": self._kafka.bootstrap_servers,
            "transactional.id": f"cdc.{self.service.name}.{self.service.name}_cdc",
        })  # fmt: skip
        rival.init_transactions(30)
        self._write()


def test_sessions_leave_nothing_behind_however_they_end(
    services: Services, own_kafka: KafkaBroker
) -> None:
    with PostgresServer(fsync=False) as postgres:
        service = services(postgres, "leftovers", TABLES + MARKS + IMPATIENT)
        config = service.sidecar.config
        config.write_text(config.read_text().replace('"30s"', f'"{_TIMEOUT}"'))
        service.sidecar.program = PROGRAM
        service.sql(*ITEMS)
        service.sidecar.start_and_stream()
        pid, start = service.sidecar.process.pid, Size.of(service.sidecar.process.pid)
        life = Life(service, postgres, own_kafka)
        sizes = [_round(life) for _ in range(1 + ROUNDS)]
        print(start, *sizes, sep="\n")
        await_true(lambda: Size.of(pid).is_like(start), what="threads and descriptors were freed")
        assert sizes[-1].memory - sizes[-1 - _LATER].memory < _GROWTH
        assert _arenas(pid) < ARENAS  # the first one is not counted
        service.sidecar.process.send_signal(signal.SIGTERM)
        assert service.sidecar.await_exit() == 0


def _round(life: Life) -> Size:
    """End a session in each way; return what the process uses after the last one."""
    for way in life.ways:
        life.end_session(way)
    return Size.of(life.service.sidecar.process.pid)
