"""Each fault of the stream, of the slot and of the processes fires its alert in Alertmanager.

`make monitoring-test` runs these tests. Faults and times are printed.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import Service, Services
from tests.acceptance.own_postgres import ITEMS, ask, metric, slot_column
from tests.acceptance.sidecar import Sidecar
from tests.monitoring.tools import needed
from tests.monitoring.watching import Watching
from tests.waiting import await_true

pytestmark = needed
_STAY = '\n[shutdown]\non_halt = "stay"\n'
_TABLES = '\n[[tables]]\nname = "public.items"\ncolumns = ["*"]\n'
_FIFTH = 60_000_000
"""Bytes, of the 336 MB that the server keeps before the slot is in danger."""
_LARGE = "INSERT INTO items SELECT n, n, repeat('x', 300) FROM generate_series(1, 100000) n"
_TERMINATE = (
    "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s"
)


def _started(watch: Watching, service: Service, *more: Sidecar) -> Service:
    """Start a sidecar on a new table, and watch it."""
    service.sql(*ITEMS)
    service.sidecar.start_and_stream()
    for sidecar in more:
        sidecar.start()
        sidecar.await_phase("waiting")
    watch.watch(service.sidecar, *more)
    return service


def test_a_restart_loop_fires(watch: Watching, limited: PostgresServer, services: Services) -> None:
    service = _started(watch, services(limited, "restarts"))
    starts = 'process_start_time_seconds{service="restarts"}'

    def restarted() -> bool:
        before = watch.prometheus.ask(starts)[0]["value"][1]
        service.sidecar.kill()
        service.sidecar.start()

        def scraped_again() -> bool:
            seen = watch.prometheus.ask(starts)
            return bool(seen) and seen[0]["value"][1] != before

        await_true(scraped_again, what="the new process is scraped")
        return "RestartLoop" in watch.firing("restarts")

    with watch.fires("RestartLoop", "restarts"):
        await_true(restarted, deadline=60, what="RestartLoop fires")


def test_aborted_transactions_fire(
    watch: Watching, limited: PostgresServer, services: Services
) -> None:
    service = _started(watch, services(limited, "aborts"))
    sidecar = service.sidecar

    def cut_off() -> bool:
        if metric(sidecar, "queue_bytes") > 0:  # it is in the middle of the transaction
            ask(service.dsn, _TERMINATE, "aborts_cdc")
        return "KafkaAborts" in watch.firing("aborts")

    with watch.fires("KafkaAborts", "aborts"):
        service.sql(_LARGE)
        await_true(cut_off, deadline=120, what="KafkaAborts fires")
    assert metric(sidecar, 'kafka_transactions_total{state="aborted"}') > 3


def test_replicas_that_differ_and_a_lost_standby_fire_and_a_healthy_pair_does_not(
    watch: Watching, limited: PostgresServer, services: Services
) -> None:
    service, second = (services(limited, "pair") for _ in range(2))
    standby = second.sidecar
    _started(watch, service, standby)
    with watch.fires("ConfigDiffers", "pair"):
        assert standby.terminate() == 0
        assert watch.firing("pair") == {}
        standby.start(environment={"CDC_SIDECAR__PUBLISH__MAX_QUEUE_BYTES": '"32MB"'})
        standby.await_phase("waiting")
    with watch.fires("StandbyMissing", "pair"):
        standby.kill()
    watch.await_firing("TargetDown", "pair")
    watch.await_resolved("ConfigDiffers", "pair")


def test_a_stall_and_a_server_without_a_limit_fire(watch: Watching, services: Services) -> None:
    with PostgresServer(fsync=False) as unlimited:
        service = services(unlimited, "stalls", _TABLES)
        service.sql(
            *ITEMS,
            "SELECT pg_create_physical_replication_slot('away', true)",
            "SELECT pg_create_logical_replication_slot('stalls_cdc', 'pgoutput', failover => true)",
        )
        service.sidecar.start_and_stream("--bootstrap")
        with watch.fires("SlotUnlimited", "stalls"):
            watch.watch(service.sidecar)
        with watch.fires("Stalled", "stalls", deadline=120):
            service.sql(
                "ALTER SYSTEM SET synchronized_standby_slots = 'away'", "SELECT pg_reload_conf()"
            )
            numbers = itertools.count(1)

            def stalled() -> bool:
                service.sql(f"INSERT INTO items VALUES ({next(numbers)}, 1, 'held back')")
                return metric(service.sidecar, "stream_stalled") == 1

            await_true(stalled, deadline=60, what="the stall is noticed")


@pytest.fixture
def tight() -> Iterator[PostgresServer]:
    """Yield a server that keeps twenty WAL segments for a slot and makes no checkpoint itself."""
    settings = {
        "max_slot_wal_keep_size": "320MB",
        "max_wal_size": "10GB",
        "checkpoint_timeout": "1h",
    }
    with PostgresServer(fsync=False, settings=settings) as server:
        yield server


def test_a_slot_that_is_nearly_lost_fires_three_times_before_it_is_lost(
    watch: Watching, tight: PostgresServer, services: Services
) -> None:
    service = _started(watch, services(tight, "tight", _TABLES + _STAY))
    with _holding(service):
        with watch.fires("SlotTimeLeft", "tight", deadline=120):
            await_true(lambda: _time_is_short(service), deadline=90, what="time is short")
        with watch.fires("SlotSpaceLow", "tight"):
            await_true(lambda: _space_is_low(service), what="little space is left")
        with watch.fires("SlotUnreserved", "tight"):
            await_true(lambda: _filled(service, "unreserved"), what="unreserved")
        with watch.fires("SlotLost", "tight"):
            service.sql("CHECKPOINT")
            await_true(lambda: _filled(service, "lost"), what="the slot is lost")
        watch.await_firing("Halted", "tight")
    assert "SlotUnlimited" not in watch.firing("tight")


@contextmanager
def _holding(service: Service) -> Iterator[None]:
    """Hold the slot back by a transaction that does not end."""
    with psycopg.connect(service.dsn) as holding:
        holding.execute("INSERT INTO items VALUES (0, 0, 'never committed')")
        yield
        holding.rollback()


def _time_is_short(service: Service) -> bool:
    """Write a little WAL; return whether the sidecar has seen at which rate."""
    service.sql("SELECT pg_logical_emit_message(false, 'noise', repeat('x', 10000))")
    return metric(service.sidecar, "slot_time_left_seconds") < 3600


def _space_is_low(service: Service) -> bool:
    """Fill a segment while more than a fifth of the limit is left."""
    left = int(str(slot_column(service, "safe_wal_size")))
    if left > _FIFTH:
        service.sql("SELECT pg_switch_wal()", "SELECT pg_logical_emit_message(false, 'n', '')")
    return left <= _FIFTH


def _filled(service: Service, status: str) -> bool:
    if slot_column(service, "wal_status") == status:
        return True
    service.sql("SELECT pg_logical_emit_message(false, 'noise', '')", "SELECT pg_switch_wal()")
    if status == "lost":
        service.sql("CHECKPOINT")
    return False
