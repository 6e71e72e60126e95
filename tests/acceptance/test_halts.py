"""After a halt the process ends, or stays and shows the reason (`[shutdown] on_halt`)."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.conftest import TABLES, Service
from tests.waiting import await_true

STAY = TABLES + '[messages]\nprefixes = ["mark"]\n[shutdown]\non_halt = "stay"\n'


@pytest.fixture
def halted(make_service: Callable[..., Service]) -> Service:
    """Yield a service whose sidecar has halted while streaming, and stays."""
    service = make_service(STAY)
    service.sql(
        "CREATE TABLE items (id bigint PRIMARY KEY, n numeric(9, 2))",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 1)")
    service.await_published()
    assert _kafka_threads(service)
    service.sql("INSERT INTO items VALUES (2, 'NaN')")
    service.sidecar.await_phase("halted")
    return service


def test_a_halted_sidecar_that_stays_is_alive_and_not_ready_and_tells_why(
    halted: Service,
) -> None:
    assert halted.sidecar.get("/livez")[0] == 200
    code, reason = halted.sidecar.get("/readyz")
    assert code == 503
    assert "CDC-301" in reason
    status = halted.sidecar.status()
    assert status is not None
    assert not status["ready"]
    assert "CDC-301" in status["error"]
    assert status["position"]
    assert "CDC-301" in halted.sidecar.get("/")[1]
    assert "cdc_sidecar_streaming 0.0" in halted.sidecar.scrape()


def test_a_halted_sidecar_that_stays_ends_with_status_3_at_sigterm(halted: Service) -> None:
    assert halted.sidecar.terminate() == 3
    assert len(halted.sidecar.events("sidecar_halted")) == 1
    assert "Traceback" not in halted.sidecar.log_text()


def test_a_halted_sidecar_that_stays_has_released_lock_slot_and_producer(
    halted: Service,
) -> None:
    def held() -> int:
        with psycopg.connect(halted.dsn, autocommit=True) as connection:
            query = (
                "SELECT count(*) FROM pg_locks l, pg_database d WHERE l.locktype = 'advisory'"
                " AND l.database = d.oid AND d.datname = current_database()"
            )
            locks = connection.execute(query.encode()).fetchone()
            active = connection.execute(
                "SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s AND active",
                (f"{halted.name}_cdc",),
            ).fetchone()
        assert locks
        assert active
        return int(locks[0]) + int(active[0])

    await_true(lambda: held() == 0, what="lock and slot released")
    await_true(lambda: not _kafka_threads(halted), what="the producer dropped")


def test_after_the_cure_a_restart_of_a_sidecar_that_stayed_goes_on_from_its_position(
    halted: Service,
) -> None:
    assert halted.sidecar.terminate() == 3
    config = halted.sidecar.config
    column = '[tables.column.n]\nas = "text"\n'
    config.write_text(config.read_text().replace("[messages]", f"{column}[messages]"))
    halted.sidecar.start_and_stream()
    halted.await_published()
    counted = 'op="c",table="public.items"} 1.0'
    assert counted in halted.sidecar.scrape()
    assert json.loads(halted.sidecar.get("/status")[1])["error"] is None


def test_a_halt_at_the_start_stays_too(make_service: Callable[..., Service]) -> None:
    service = make_service(STAY, **{"create_slot = true": "create_slot = false"})
    service.sql(
        "CREATE TABLE items (id bigint PRIMARY KEY)", "CREATE PUBLICATION cdc FOR ALL TABLES"
    )
    service.sidecar.start()
    service.sidecar.await_phase("halted")
    assert "CDC-204" in service.sidecar.get("/readyz")[1]
    assert service.sidecar.terminate() == 3


def test_wrong_usage_ends_the_process_even_where_halts_stay(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(STAY)
    service.sql("CREATE TABLE items (line text)", "CREATE PUBLICATION cdc FOR ALL TABLES")
    service.sidecar.start()
    assert service.sidecar.await_exit() == 2


def _kafka_threads(service: Service) -> list[str]:
    """Return the names of librdkafka's threads. Without a client there are none."""
    names = []
    for task in Path(f"/proc/{service.sidecar.process.pid}/task").glob("*/comm"):
        with suppress(OSError):  # the thread has ended meanwhile
            names.append(task.read_text())
    return [name for name in names if name.startswith("rdk:")]
