"""The slot is monitored, and health and metrics are correct (B1, B4, B50, B51, B52)."""

import math
from collections.abc import Iterator

import psycopg
import pytest

from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import MARKS, Service, Services
from tests.acceptance.own_postgres import (
    ask,
    metric,
    slot_column,
)
from tests.effort import LONG
from tests.waiting import await_true

_ONLY_ITEMS = '\n[[tables]]\nname = "public.items"\ncolumns = ["*"]\n' + MARKS
_CHUNKS = 250 if LONG else 50  # of 4 MB of WAL each
_LAG_ALLOWED = 16_000_000  # bytes: one segment of WAL


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """Yield a server whose settings a test can change."""
    with PostgresServer(fsync=False) as server:
        yield server


def test_the_first_look_at_the_slot_comes_with_the_stream(service: Service) -> None:
    service.sidecar.start_and_stream()
    status = service.sidecar.status() or {}

    def looked() -> bool:
        status.update(service.sidecar.status() or {})
        return status["walsender"] is not None

    await_true(looked, deadline=3 * 1.0, what="the first look")
    assert status["slot"]["wal_status"] == "reserved"
    assert status["slot"]["seconds_left"] is None
    assert status["walsender"]["pid"] == slot_column(service, "active_pid")
    assert status["walsender"]["sent"]
    assert status["warnings"] == []
    assert metric(service.sidecar, 'slot_wal_status{state="reserved"}') == 1
    assert metric(service.sidecar, "slot_time_left_seconds") == math.inf
    assert math.isnan(metric(service.sidecar, "slot_inactive_since_timestamp_seconds"))
    assert metric(service.sidecar, "walsender_sent_lsn_bytes") > 0
    lines = ["stream: streaming", "kafka: reachable", "slot: reserved"]
    assert service.sidecar.get("/readyz") == (200, "\n".join([*lines, ""]))


def test_an_idle_stream_is_told_from_one_that_is_held_back(
    own_postgres: PostgresServer, services: Services
) -> None:
    idle = services(own_postgres, "idle", _ONLY_ITEMS, user="reader", dbname="both")
    held = services(own_postgres, "held", _ONLY_ITEMS, user="reader", dbname="both")
    idle.sql(
        "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)",
        "CREATE TABLE noise (line text)",
        "CREATE PUBLICATION cdc FOR TABLE items",
        "CREATE ROLE reader LOGIN REPLICATION",
        "SELECT pg_create_physical_replication_slot('away', true)",
        "SELECT pg_create_logical_replication_slot('held_cdc', 'pgoutput', failover => true)",
    )
    idle.sidecar.start_and_stream()
    held.sidecar.start_and_stream("--bootstrap")
    oracle = held.oracle()
    _hold_back(own_postgres, "away")
    held.sql("INSERT INTO items VALUES (1, 1, 'held back')")
    _write_noise(idle)
    assert idle.sidecar.terminate() == 0
    idle.sidecar.start_and_stream()
    _await_stall(held)
    assert not idle.sidecar.events("sidecar_halted")
    assert not idle.sidecar.events("stream_stalled")
    assert metric(idle.sidecar, "stream_stalled") == 0
    assert idle.sidecar.get("/readyz")[0] == 200
    assert metric(held.sidecar, 'events_total{op="c",table="public.items"}') == 0
    _hold_back(own_postgres, "")
    held.await_published()
    await_true(lambda: held.sidecar.get("/readyz")[0] == 200, what="it is ready again")
    assert held.assert_exactly_once(oracle, "items") == 1
    assert len(held.sidecar.events("stream_stalled")) == 1, "it is told once"


def _hold_back(postgres: PostgresServer, standby: str) -> None:
    """Make slots with failover wait for a standby's slot."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET synchronized_standby_slots = '{standby}'".encode())
        connection.execute("SELECT pg_reload_conf()")


def _write_noise(idle: Service) -> None:
    """Write to a table that is not published; check the slot after each write."""
    lags = []
    for _ in range(_CHUNKS):
        idle.sql("INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 3800)")
        lag = "pg_current_wal_lsn() - confirmed_flush_lsn"
        lags.append(int(str(slot_column(idle, lag))))
    written = ask(idle.dsn, "SELECT pg_total_relation_size('noise')")
    print(f"{written} bytes written, the slot at most {max(lags)} bytes behind")
    assert max(lags) < _LAG_ALLOWED
    assert metric(idle.sidecar, 'events_total{op="c",table="public.items"}') == 1


def _await_stall(held: Service) -> None:
    await_true(
        lambda: "stream: stalled" in held.sidecar.get("/readyz")[1],
        deadline=3 * 40,
        what="the stall was noticed",
    )
    assert held.sidecar.get("/readyz")[0] == 503
    assert held.sidecar.get("/livez")[0] == 200
    assert metric(held.sidecar, "stream_stalled") == 1
    status = held.sidecar.status()
    assert status is not None
    assert status["stalled"]
    assert any("stream_stalled" in warning for warning in status["warnings"])
    assert held.sidecar.events("stream_stalled")[0]["wait_event"] == "WaitForStandbyConfirmation"
