"""The servers and, for each workload, a database with a backlog that every contender drains."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from benchmarks.workloads import Workload
from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.postgres.lsn import Lsn, parse_lsn
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer

PUBLICATION: Final = "bench"
BASE: Final = "base"
_SETTINGS: Final[dict[str, str | int]] = {
    "max_wal_size": "16GB",  # no checkpoint and no vacuum in the middle of a run
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "max_locks_per_transaction": 256,  # a publication of 1,000 tables locks all of them
}
_HEAP: Final = ("-Xms1g", "-Xmx1g")  # of the broker, as in Kafka's own start script
_RELEASE_SECONDS: Final = 30.0  # a contender that was stopped closes its connection within seconds
_RETRY_SECONDS: Final = 0.1  # between two attempts to drop a slot


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers that all contenders share."""

    postgres: PostgresServer
    kafka: KafkaBroker
    folder: Path  # for configurations and logs


@dataclass(frozen=True, slots=True)
class Backlog:
    """The changes that were written after the slot `base` was created, or the rows before it.

    Each of `marks` has an LSN and the number of events that were committed up to it.
    """

    events: int
    end: Lsn
    marks: tuple[tuple[Lsn, int], ...]


@dataclass(frozen=True, slots=True)
class SourceDatabase:
    """One database. A copy of its slot `base` starts before the whole backlog."""

    servers: Servers
    workload: Workload
    dsn: str
    backlog: Backlog

    @contextmanager
    def slot(self, name: str) -> Iterator[str]:
        """Copy the slot `base`; drop the copy at the end of the block."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", (BASE, name))
            try:
                yield name
            finally:
                _drop_slot(connection, name)


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """Start Postgres, with fsync on, and Kafka."""
    say("starting Postgres and Kafka")
    with PostgresServer(settings=_SETTINGS) as postgres, KafkaBroker(heap=_HEAP) as kafka:
        yield Servers(postgres, kafka, folder)


@contextmanager
def source(servers: Servers, workload: Workload) -> Iterator[SourceDatabase]:
    """Create a database with its slot and its backlog; drop them at the end of the block."""
    with psycopg.connect(servers.postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {workload.name}")
        dsn = servers.postgres.dsn(workload.name)
        with psycopg.connect(dsn, autocommit=True) as connection:
            backlog = _fill(connection, workload)
        try:
            yield SourceDatabase(servers, workload, dsn, backlog)
        finally:
            _drop_slot(admin, BASE)
            admin.execute(f"DROP DATABASE {workload.name} WITH (FORCE)")


def say(text: str) -> None:
    """Print a line about the progress to stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _fill(connection: psycopg.Connection, workload: Workload) -> Backlog:
    for statement in workload.prepare():
        connection.execute(statement.encode())
    published = ", ".join(workload.tables)
    connection.execute(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE {published}".encode())
    if not workload.snapshot:
        _create_slot(connection)
    connection.execute(
        "SET synchronous_commit = off"
    )  # the checkpoint below writes everything to disk
    events, marks = 0, []
    for statement, added in workload.write():
        connection.execute(statement.encode())
        events += added
        marks.append((_lsn(connection), events))
    if workload.snapshot:
        connection.execute("VACUUM ANALYZE")
        _create_slot(connection)
    connection.execute("CHECKPOINT")
    return Backlog(events, marks[-1][0], tuple(marks))


def _create_slot(connection: psycopg.Connection) -> None:
    connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (BASE,))


def _lsn(connection: psycopg.Connection) -> Lsn:
    row = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
    return parse_lsn(row[0] if row else "0/0")


def _drop_slot(connection: psycopg.Connection, name: str) -> None:
    """Drop a slot as soon as no connection reads it any more."""
    deadline = time.monotonic() + _RELEASE_SECONDS
    while time.monotonic() < deadline:
        with suppress(psycopg.errors.ObjectInUse):
            connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))
            return
        time.sleep(_RETRY_SECONDS)
    raise ServerFailed(
        f"slot {name} is still in use after {_RELEASE_SECONDS:g} s",
        hint="end the program that reads it",
    )
