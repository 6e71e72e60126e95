"""Before the server invalidates a slot there is a warning; then exit status 3 (B4)."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import Service, Services
from tests.acceptance.own_postgres import (
    ITEMS,
    halt_of,
    metric,
    slot_column,
)
from tests.effort import LONG
from tests.waiting import await_true


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """Yield a server that keeps four WAL segments for a slot and makes no checkpoint itself."""
    settings = {
        "max_slot_wal_keep_size": "64MB",
        "max_wal_size": "10GB",
        "checkpoint_timeout": "1h",
    }
    with PostgresServer(fsync=False, settings=settings) as server:
        yield server


def _streaming(services: Services, postgres: PostgresServer, name: str) -> Service:
    service = services(postgres, name)
    service.sql(*ITEMS)
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 1, 'a')")
    service.await_published()
    return service


@contextmanager
def _setting(service: Service, name: str, value: str) -> Iterator[None]:
    service.sql(f"ALTER SYSTEM SET {name} = '{value}'", "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        service.sql(f"ALTER SYSTEM RESET {name}", "SELECT pg_reload_conf()")


def _write_wal(service: Service, status: str) -> None:
    """Fill WAL segments until the slot has this status."""

    def reached() -> bool:
        service.sql("SELECT pg_logical_emit_message(false, 'noise', '')", "SELECT pg_switch_wal()")
        return slot_column(service, "wal_status") == status

    await_true(reached, what=f"wal_status {status}")


def _lose(service: Service) -> None:
    def lost() -> bool:
        service.sql("CHECKPOINT")
        return slot_column(service, "wal_status") == "lost"

    await_true(lost, what="the slot is lost")


def test_a_slot_lost_while_down_for_too_much_wal_is_refused_with_the_setting(
    own_postgres: PostgresServer, services: Services
) -> None:
    service = _streaming(services, own_postgres, "lost_down")
    assert service.sidecar.terminate() == 0
    _write_wal(service, "unreserved")
    _lose(service)
    service.sidecar.start()
    halt = halt_of(service.sidecar)
    assert halt["code"] == "CDC-205"
    assert "wal_removed" in halt["fact"]
    assert "max_slot_wal_keep_size" in halt["cause"]
    assert len(service.sidecar.events("session_ended")) == 0, "no retry"


def test_a_slot_lost_while_nobody_read_it_for_too_long_is_refused_with_the_setting(
    own_postgres: PostgresServer, services: Services
) -> None:
    service = _streaming(services, own_postgres, "lost_idle")
    assert service.sidecar.terminate() == 0
    with _setting(service, "idle_replication_slot_timeout", "1s"):
        _lose(service)
    service.sidecar.start()
    halt = halt_of(service.sidecar)
    assert halt["code"] == "CDC-205"
    assert "idle_timeout" in halt["fact"]
    assert "idle_replication_slot_timeout" in halt["cause"]


def test_a_slot_in_danger_while_running_is_warned_of_and_when_lost_it_is_the_end(
    own_postgres: PostgresServer, services: Services
) -> None:
    service = _streaming(services, own_postgres, "lost_running")
    with psycopg.connect(service.dsn) as holding:  # the unfinished transaction must be read again
        holding.execute("INSERT INTO items VALUES (2, 2, 'never committed')")
        with _setting(service, "max_wal_size", "32MB"):
            _write_wal(service, "extended")
            if LONG:
                _await_warning(service, "extended")
        _write_wal(service, "unreserved")
        _await_warning(service, "unreserved")
        assert service.sidecar.get("/readyz")[0] == 200, "it still streams"
        assert metric(service.sidecar, "slot_time_left_seconds") == 0
        _lose(service)
        halt = halt_of(service.sidecar)
        holding.rollback()
    assert halt["code"] == "CDC-205"
    assert "max_slot_wal_keep_size" in halt["cause"]
    told = [event["state"] for event in service.sidecar.events("slot_in_danger")]
    assert told[-1] == "unreserved"
    assert len(set(told)) == len(told), "each is told once"


def _await_warning(service: Service, status: str) -> None:
    def warned() -> bool:
        seen = service.sidecar.status()
        return seen is not None and any(status in warning for warning in seen["warnings"])

    await_true(warned, deadline=3 * 10, what=f"a warning of {status}")
    assert metric(service.sidecar, f'slot_wal_status{{state="{status}"}}') == 1
    assert f"slot: {status}" in service.sidecar.get("/readyz")[1]
