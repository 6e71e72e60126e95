"""A lock that the sidecar waits for is found by its hint; time-outs of its role do not end it."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.own_postgres import ITEMS
from tests.acceptance.test_snapshot import INITIAL, await_snapshots
from tests.waiting import await_true

_TIME_OUTS = 4
"""Of a statement, of a lock, and of a session that is idle in a transaction or outside of one."""


@contextmanager
def _locked(service: Service, table: str) -> Iterator[psycopg.Connection]:
    """Yield a session that holds a lock on a table until somebody ends the session."""
    with psycopg.connect(service.dsn) as holder:
        holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield holder


def _ended(service: Service, code: str) -> dict[str, str]:
    """Wait until a session has ended with a code; return the event."""
    sidecar = service.sidecar
    ends: list[dict[str, str]] = []

    def found() -> bool:
        events = sidecar.events("session_ended") + sidecar.events("postgres_went_away")
        ends[:] = [event for event in events if event["code"] == code]
        return bool(ends)

    await_true(found, what=f"a session ends with {code}")
    return ends[0]


def test_after_the_hint_about_a_lock_on_the_catalog_it_runs(service: Service) -> None:
    with _locked(service, "pg_publication_rel") as holder:
        service.sidecar.start()
        hint = _ended(service, "CDC-212")["hint"]
        (query,) = re.findall(r"SELECT pid.*?(?= shows)", hint)
        (end,) = re.findall(r"pg_terminate_backend\(pid\)", hint)
        with psycopg.connect(service.dsn, dbname="postgres", autocommit=True) as operator:
            found = {row[0] for row in operator.execute(query.encode())}
            assert holder.info.backend_pid in found
            operator.execute(f"SELECT {end} FROM unnest(%s) AS pid".encode(), [list(found)])
        service.sidecar.await_phase("streaming")
        with pytest.raises(psycopg.OperationalError):
            holder.execute("SELECT 1")
    service.sql("INSERT INTO items VALUES (1, 1, 'x')")
    service.await_published()


def test_a_role_with_short_time_outs_streams_and_reads_snapshots(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES + MARKS, **INITIAL)
    role = f"r_{service.name}"
    config = service.sidecar.config
    assert "user=postgres" in config.read_text()
    config.write_text(config.read_text().replace("user=postgres", f"user={role}"))
    service.sql(*ITEMS, "INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 30000) n")
    service.sql(f"CREATE ROLE {role} LOGIN SUPERUSER REPLICATION")
    with psycopg.connect(service.dsn, autocommit=True) as owner:
        times = owner.execute(
            r"SELECT name FROM pg_settings WHERE name LIKE '%\_timeout'"
            " AND context = 'user' AND unit = 'ms' AND name NOT LIKE 'wal%'"
        ).fetchall()
        assert len(times) >= _TIME_OUTS
        for (name,) in times:
            time = "500ms" if name == "transaction_timeout" else "1ms"
            owner.execute(f"ALTER ROLE {role} SET {name} = '{time}'".encode())
    service.sidecar.start_and_stream()
    service.await_published()
    await_snapshots(service)
    assert not service.sidecar.events("session_ended")
    assert not service.sidecar.events("snapshot_interrupted")
