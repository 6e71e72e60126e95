"""A synchronous standby that can be frozen: commits are then in the WAL, and nobody sees them."""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from cdc_sidecar.failpoints import VARIABLE
from cdc_sidecar.servers.host import server_user
from cdc_sidecar.servers.postgres import PostgresServer
from cdc_sidecar.servers.process import run_tool
from tests.acceptance.conftest import Service
from tests.acceptance.events import Oracle, read_topics
from tests.acceptance.own_postgres import ask, frozen, metric
from tests.acceptance.snapshot_oracle import count_rows
from tests.waiting import await_true

ROWS = 400
SEEN = 250
"""Rows up to this id are not changed while the standby is frozen."""
SLOW = '\n[snapshot]\nmode = "initial"\nchunk_rows = 50\nmax_rows_per_second = 150\n'
UNSEEN = f"UPDATE items SET n = n + 1000 WHERE id > {SEEN}"
_STANDBY = "wal"
_EPOCH = 3
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
_HELD_UP = (
    "SELECT count(*) FILTER (WHERE wait_event = 'SyncRep') > 0 AND count(*) >= {writers}"
    " FROM pg_stat_activity WHERE wait_event = 'SyncRep' OR wait_event_type = 'Lock'"
)
"""A commit that hangs keeps its locks, and another writer may wait for one of them."""


class StallingPostgres:
    """A server with a synchronous standby, which only stores the WAL."""

    def __init__(self, server: PostgresServer, receiver: int) -> None:
        self.server = server
        self._receiver = receiver

    @contextmanager
    def frozen(self, service: Service, writers: int) -> Iterator[None]:
        """Freeze the standby; wait until so many writers hang in a commit, or behind one."""
        held_up = _HELD_UP.format(writers=writers)
        with frozen(self._receiver):
            await_true(lambda: ask(service.dsn, held_up) is True, what="commits hang")
            yield

    @contextmanager
    def hanging(self, service: Service, *statements: str) -> Iterator[None]:
        """Run statements, but freeze the standby before the last one, which hangs then."""
        *first, last = statements
        service.sql(*first)
        writer = threading.Thread(target=_write, args=(service.dsn, last), daemon=True)
        with frozen(self._receiver):
            writer.start()
            await_true(lambda: ask(service.dsn, _WAITING) == 1, what="the commit hangs")
            yield
        writer.join(30)
        assert not writer.is_alive()


def _write(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = on")
        connection.execute(statement.encode())


@contextmanager
def stalling_postgres(folder: Path) -> Iterator[StallingPostgres]:
    """Start a server and its standby. Its transaction ids have more than 32 bits."""
    settings = {"synchronous_standby_names": _STANDBY, "synchronous_commit": "local"}
    with PostgresServer(settings={**settings, "max_prepared_transactions": 5}) as server:
        server.stop()
        reset: list[str | Path] = [
            server.bin("pg_resetwal"),
            "--epoch",
            str(_EPOCH),
            server.data_folder,
        ]
        run_tool(reset, folder=folder, user=server_user())
        server.start()
        name = f"application_name={_STANDBY}"
        command: list[str | Path] = [
            *(server.bin("pg_receivewal"), "--synchronous", "--directory", folder),
            *("--dbname", f"{server.dsn()} {name}"),
        ]
        receiver = subprocess.Popen(command)
        try:
            await_true(
                lambda: ask(server.dsn(), "SELECT flush_lsn FROM pg_stat_replication"),
                what="the standby confirms",
            )
            yield StallingPostgres(server, receiver.pid)
        finally:
            receiver.send_signal(signal.SIGCONT)
            receiver.kill()
            receiver.wait(10)


def prepare(service: Service, *, large: bool) -> Oracle:
    """Make the table, and an oracle that sees all of its rows; every commit of ours is local."""
    service.dsn = make_conninfo(service.dsn, options="-c synchronous_commit=local")
    config = service.sidecar.config
    config.write_text(config.read_text().replace('[snapshot]\nmode = "never"\n', ""))
    service.sql(
        "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)",
        "ALTER TABLE items ALTER label SET STORAGE EXTERNAL",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    oracle = service.oracle()
    label = "repeat('l' || k, 900)" if large else "'small'"
    service.sql(f"INSERT INTO items SELECT k, k, {label} FROM generate_series(1, {ROWS}) k")
    return oracle


def start_reading(service: Service, failpoint: str = "") -> None:
    """Start, and wait until a part of the table is published."""
    service.sidecar.start(environment={VARIABLE: failpoint})
    service.sidecar.await_phase("streaming")
    await_true(lambda: count_rows(service), what="some rows are published")


def await_unseen(service: Service) -> None:
    """Wait until the changes that nobody sees are published."""
    name = 'events_total{op="u",table="public.items"}'
    await_true(
        lambda: metric(service.sidecar, name) >= ROWS - SEEN, what="the changes are published"
    )


def await_completed(service: Service) -> None:
    """Wait until the snapshot is complete, and everything is published."""
    await_true(
        lambda: service.sidecar.events("snapshot_completed"), deadline=60, what="it is complete"
    )
    service.await_published()


def phase_of(service: Service) -> str:
    """Return the phase of the snapshot, as it is published."""
    (records,) = read_topics(service.kafka, [f"_cdc.{service.name}.schemas"]).values()
    states = [json.loads(value or b"") for key, value, _ in records if b"snapshot/" in (key or b"")]
    return str(states[-1]["phase"])


def read_past_unseen_changes(service: Service, postgres: StallingPostgres) -> None:
    """Let all rows be read while nobody sees the changes of some."""
    start_reading(service)
    with postgres.hanging(service, UNSEEN):
        await_unseen(service)
        await_true(lambda: phase_of(service) in {"read", "done"}, what="everything is read")
    await_completed(service)


@contextmanager
def restart_behind_unseen_changes(
    service: Service, postgres: StallingPostgres, *statements: str
) -> Iterator[None]:
    """Kill the sidecar when it has published changes that nobody sees; start it again."""
    start_reading(service)
    with postgres.hanging(service, *statements):
        await_unseen(service)
        service.await_published()
        service.sidecar.kill()
        service.sidecar.start()
        service.sidecar.await_phase("streaming", deadline=60)
        yield
    await_completed(service)
