"""A steady stream of outbox events while the sidecar is killed and rows are pruned."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

import psycopg

from tests.acceptance.conftest import Service
from tests.acceptance.outboxes import KEYS, TYPES, Sent

_BURSTS: Final = 20  # transactions a second
_KILL: Final = 4.0  # seconds between two kills
_COLUMNS: Final = "(id, number, aggregatetype, aggregateid, type, payload)"
_ROWS: Final = f"""
SELECT gen_random_uuid(), n, 't' || n %% {TYPES}, (n / {TYPES} %% {KEYS})::text, 'Noted',
    jsonb_build_object('number', n, 'price', n || '.50')
FROM generate_series(%s::bigint, %s::bigint) n
"""


@dataclass
class OutboxSoak:
    """Writes `rate` events a second for some seconds, half of them into each of two tables."""

    service: Service
    rate: int
    random: Random
    sent: list[Sent] = field(default_factory=list)
    largest: int = 0  # bytes of the table whose rows are kept for a second
    most: int = 0  # its rows
    kills: int = 0

    def run(self, seconds: float) -> None:
        """Write and kill; the sidecar runs at the end."""
        begun = killed = time.monotonic()
        with psycopg.connect(self.service.dsn) as connection:
            while (now := time.monotonic()) - begun < seconds:
                due = int((now - begun) * self.rate)
                for first, last in self._ranges(due):
                    self._write(connection, first, last)
                self._measure(connection)
                if now - killed > _KILL:
                    self._kill()
                    killed = time.monotonic()

    def _ranges(self, due: int) -> Iterator[tuple[int, int]]:
        size = max(2, self.rate // _BURSTS)
        while len(self.sent) + size <= due:
            yield len(self.sent) + 1, len(self.sent) + size

    def _write(self, connection: psycopg.Connection, first: int, last: int) -> None:
        """Write one transaction: its first half is kept, its second half is deleted at once."""
        middle = (first + last) // 2
        connection.execute(f"INSERT INTO kept {_COLUMNS} {_ROWS}".encode(), (first, middle))
        insert = f"INSERT INTO passing {_COLUMNS} {_ROWS}"
        connection.execute(insert.encode(), (middle + 1, last))
        connection.execute("DELETE FROM passing")
        connection.commit()
        self.sent += [(f"t{n % TYPES}", str(n // TYPES % KEYS), n) for n in range(first, last + 1)]

    def _measure(self, connection: psycopg.Connection) -> None:
        query = "SELECT pg_total_relation_size('kept'), count(*) FROM kept"
        row = connection.execute(query).fetchone()
        connection.commit()
        assert row
        self.largest, self.most = max(self.largest, row[0]), max(self.most, row[1])

    def _kill(self) -> None:
        self.service.sidecar.kill()
        self.kills += 1
        self.service.sidecar.start()
