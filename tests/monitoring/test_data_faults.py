"""Each fault of the data fires its alert in Alertmanager: `make monitoring-test`."""

import itertools
import os
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.brokers import IMPATIENT, QUICK
from tests.acceptance.conftest import MARKS, TABLES, Service, Services
from tests.acceptance.outboxes import configure
from tests.acceptance.own_postgres import ITEMS, metric
from tests.monitoring.tools import needed
from tests.monitoring.watching import Watching, watching
from tests.waiting import await_true

pytestmark = needed
_ONLY_ITEMS = '\n[[tables]]\nname = "public.items"\ncolumns = ["*"]\n'
_BOTH = _ONLY_ITEMS + '\n[[tables]]\nname = "public.hidden"\ncolumns = ["*"]\n'
_LARGE = "INSERT INTO items SELECT n, n, repeat('x', 1000) FROM generate_series(1, 20000) n"

_MISFIT = (
    "INSERT INTO kept (id, aggregatetype, aggregateid, type, payload) VALUES"
    """ (gen_random_uuid(), 't0', '0', 'Noted', '{"number": "text", "price": 1}')"""
)
"""An event whose payload does not fit its schema."""


def test_dropped_changes_split_transactions_and_fences_fire(
    watch: Watching, limited: PostgresServer, services: Services
) -> None:
    service = services(limited, "data", _ONLY_ITEMS)
    service.sql(*ITEMS, "CREATE TABLE audit (id int PRIMARY KEY)")
    service.sidecar.start(environment={"CDC_SIDECAR__PUBLISH__SPLIT_AFTER": '"1us"'})
    service.sidecar.await_phase("streaming")
    watch.watch(service.sidecar)
    with watch.fires("TableNotConfigured", "data"):
        service.sql("INSERT INTO audit VALUES (1)", "INSERT INTO items VALUES (0, 0, 'x')")
    assert watch.firing("data")["TableNotConfigured"]["labels"]["table"] == "public.audit"
    with watch.fires("TransactionSplit", "data"):
        service.sql(_LARGE)
    with watch.fires("Fenced", "data"):
        for fences in (1, 2):
            _fence(service, fences)


def _fence(service: Service, fences: int) -> None:
    """Take the transactional id, as another producer would."""
    service.sidecar.await_phase("streaming")
    service.await_published()  # it has claimed the id again
    status = service.sidecar.status()
    assert status
    rival = Producer(
        {"bootstrap.servers": service.kafka, "transactional.id": status["transactional_id"]}
    )
    rival.init_transactions(30)

    def fenced() -> bool:
        service.sql("UPDATE items SET n = n + 1 WHERE id = 0")
        return metric(service.sidecar, "producer_fences_total") >= fences

    await_true(fenced, what="the sidecar is fenced")


def test_a_refused_event_of_an_outbox_fires(
    watch: Watching, limited: PostgresServer, services: Services
) -> None:
    service = services(limited, "refuses", "[shutdown]\non_halt = 'stay'\n")
    configure(service)
    service.sidecar.start_and_stream()
    watch.watch(service.sidecar)
    with watch.fires("OutboxEventRefused", "refuses"):
        service.sql(_MISFIT)
    assert watch.firing("refuses")["OutboxEventRefused"]["labels"]["event_type"] == "Noted"
    watch.await_firing("Halted", "refuses")


def test_a_parked_event_fires(watch: Watching, limited: PostgresServer, services: Services) -> None:
    service = services(limited, "parks", "")
    configure(service, "on_error = 'park'")
    service.sidecar.start_and_stream()
    watch.watch(service.sidecar)
    with watch.fires("EventsParked", "parks"):
        service.sql(_MISFIT)
    assert watch.firing("parks")["EventsParked"]["labels"]["table"] == "public.kept"


def test_a_table_that_cannot_be_read_fires(
    watch: Watching, limited: PostgresServer, services: Services
) -> None:
    service = services(limited, "unread", _BOTH, user="unread_reader")
    config = service.sidecar.config
    config.write_text(config.read_text().replace('mode = "never"', 'mode = "initial"'))
    service.sql(
        "CREATE TABLE hidden (id int PRIMARY KEY)",
        *ITEMS,
        "INSERT INTO hidden VALUES (1)",
        "CREATE ROLE unread_reader LOGIN REPLICATION",
        "GRANT SELECT ON items TO unread_reader",
    )
    with watch.fires("SnapshotFailed", "unread"):
        service.sidecar.start_and_stream()
        watch.watch(service.sidecar)


def test_a_log_that_nobody_reads_fires(
    watch: Watching, limited: PostgresServer, services: Services
) -> None:
    service = services(limited, "unheard")
    service.sql(*ITEMS)
    reading, writing = os.pipe()
    os.close(reading)
    service.sidecar.stderr = writing
    rows = itertools.count(1)

    def heard() -> bool:
        service.sql(f"INSERT INTO items VALUES ({next(rows)}, 1, 'x')")
        return "LogLinesDropped" in watch.firing("unheard")

    with watch.fires("LogLinesDropped", "unheard"):
        service.sidecar.start_and_stream()
        os.close(writing)
        watch.watch(service.sidecar)
        await_true(heard, what="LogLinesDropped fires")


def test_wal_that_waits_for_kafka_fires_by_its_size(
    watch: Watching, limited: PostgresServer, own_kafka: KafkaBroker, services: Services
) -> None:
    service = services(limited, "behind", TABLES + MARKS + IMPATIENT)
    service.reconfigure(service.kafka, own_kafka.bootstrap_servers)
    service.sql(*ITEMS)
    service.sidecar.start_and_stream()
    watch.watch(service.sidecar)
    with watch.fires("FallsBehind", "behind", deadline=120):
        own_kafka.kill()
        service.sql(
            "INSERT INTO items VALUES (1, 1, 'waits')",
            "SELECT count(pg_logical_emit_message(false, 'noise', repeat('x', 1000000)))"
            " FROM generate_series(1, 560)",
        )
    own_kafka.start()
    watch.await_resolved("FallsBehind", "behind")


@pytest.fixture
def own_kafka() -> Iterator[KafkaBroker]:
    """Yield a broker that a test can kill."""
    with KafkaBroker(properties=QUICK) as broker:
        yield broker


def test_postgres_away_fires_three_times(services: Services) -> None:
    """The rules are only ten times as fast: back-off and lag take their time."""
    with watching(10) as watch, PostgresServer(fsync=False) as postgres:
        service = services(postgres, "alone")
        service.sql(*ITEMS)
        service.sidecar.start_and_stream()
        watch.watch(service.sidecar)
        with (
            watch.fires("Lagging", "alone", deadline=150),
            watch.fires("SessionsFail", "alone", deadline=120),
            watch.fires("NotStreaming", "alone"),
        ):
            postgres.stop()
        assert "KafkaUnreachable" not in watch.firing("alone")
