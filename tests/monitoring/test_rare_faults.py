"""Faults that need another clock, a gigabyte or patience: `make monitoring-test`."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import MARKS, TABLES, Service, Services
from tests.acceptance.own_postgres import ITEMS, metric
from tests.monitoring.tools import needed
from tests.monitoring.watching import Watching, watching
from tests.waiting import await_true

pytestmark = needed
_ONLY_ITEMS: Final = '\n[[tables]]\nname = "public.items"\ncolumns = ["*"]\n'
_AHEAD: Final = "import time\nreal = time.time\ntime.time = lambda: real() + 15.0\n"
"""Python runs this when it starts: the clock of the process is 15 s ahead."""
_LARGE: Final = (
    "SELECT count(pg_logical_emit_message(true, 'noise', repeat('x', 1000000)))"
    " FROM generate_series(1, 1100)"
)


def test_a_wrong_clock_fires_and_so_does_the_latency_that_it_pretends(
    watch: Watching, limited: PostgresServer, services: Services, tmp_path: Path
) -> None:
    service = services(limited, "clock")
    service.sql(*ITEMS)
    (tmp_path / "sitecustomize.py").write_text(_AHEAD)
    service.sidecar.start(environment={"PYTHONPATH": str(tmp_path)})
    service.sidecar.await_phase("streaming")
    numbers = itertools.count()

    def late() -> bool:
        service.sql(f"INSERT INTO items VALUES ({next(numbers)}, 1, 'x')")
        return "EventsLate" in watch.firing("clock")

    with watch.fires("EventsLate", "clock"), watch.fires("ClockSkewed", "clock"):
        watch.watch(service.sidecar)
        await_true(late, deadline=60, what="EventsLate fires")
    assert -16 < metric(service.sidecar, "postgres_clock_offset_seconds") < -14


def test_a_snapshot_that_waits_for_a_transaction_fires(
    watch: Watching, limited: PostgresServer, services: Services
) -> None:
    service = services(limited, "waits", TABLES + MARKS)
    service.sql(*ITEMS, "INSERT INTO items VALUES (1, 1, 'x')")
    service.sidecar.start_and_stream()
    watch.watch(service.sidecar)
    with _at_work(service), watch.fires("SnapshotWaits", "waits", deadline=120):
        done = service.sidecar.run("snapshot start", "public.items")
        assert done.returncode == 0, done.stderr
    assert watch.firing("waits")["SnapshotWaits"]["labels"]["reason"] == "fence"
    watch.await_resolved("SnapshotWaits", "waits")


@contextmanager
def _at_work(service: Service) -> Iterator[None]:
    """Keep a transaction open that has written a row, and whose session is not idle."""
    with psycopg.connect(service.dsn) as connection:
        connection.execute("INSERT INTO items VALUES (2, 2, 'not committed')")
        connection.pgconn.send_query(b"SELECT pg_sleep(600)")
        yield
        service.sql(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        connection.close()


def test_a_transaction_of_a_gigabyte_fires(services: Services) -> None:
    """The rules are only ten times as fast: decoding takes its time."""
    settings = {"max_slot_wal_keep_size": "8GB", "max_wal_size": "4GB"}
    with watching(10) as watch, PostgresServer(fsync=False, settings=settings) as postgres:
        service = services(postgres, "large", _ONLY_ITEMS)
        service.sql(*ITEMS)
        service.sidecar.start_and_stream()
        watch.watch(service.sidecar)
        service.sql("INSERT INTO items VALUES (1, 1, 'x')")
        decoded = "slot_decoded_bytes_total"
        await_true(lambda: metric(service.sidecar, decoded) > 0, what="the sums are known")
        with watch.fires("DecodingSpills", "large", deadline=150):
            service.sql(_LARGE)
