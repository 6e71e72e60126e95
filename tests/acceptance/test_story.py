"""The log of an outage and of a first start, as a person reads it."""

import os
from collections.abc import Callable

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.brokers import QUICK, service_on
from tests.acceptance.conftest import TABLES, Service, Services
from tests.acceptance.own_postgres import ITEMS
from tests.waiting import await_true


def test_an_outage_of_kafka_is_two_lines_with_its_reason_and_its_duration(
    make_service: Callable[..., Service],
) -> None:
    with KafkaBroker(properties=QUICK) as broker:
        service = service_on(broker.bootstrap_servers, make_service, timeout="5s")
        sidecar = service.sidecar
        sidecar.start_and_stream()
        service.sql("INSERT INTO items VALUES (1, 1, 'x')")
        service.await_published()
        broker.kill()
        service.sql("INSERT INTO items VALUES (2, 2, 'x')")
        await_true(lambda: sidecar.events("kafka_went_away"), what="the outage is reported")
        broker.start()
        service.await_published()
        (left,), (returned,) = sidecar.events("kafka_went_away"), sidecar.events("kafka_returned")
        assert "Connection refused" in left["reason"] or "Disconnected" in left["reason"]
        assert returned["away_seconds"] > 0
        raw = [e for e in sidecar.events("library_reported") if e["library"] == "librdkafka"]
        assert len(raw) <= 10


def test_an_outage_of_postgres_is_two_lines_as_well(services: Services) -> None:
    with PostgresServer(fsync=False) as postgres:
        service = services(postgres, "two_lines")
        service.sql(*ITEMS)
        service.sidecar.start_and_stream()
        postgres.stop("fast", seconds=6)
        await_true(lambda: service.sidecar.events("postgres_went_away"), what="it is reported")
        postgres.start()
        service.sidecar.await_phase("streaming")
        (left,) = service.sidecar.events("postgres_went_away")
        (returned,) = service.sidecar.events("postgres_returned")
        assert left["reason"]
        assert "port=" in left["host"]
        assert not service.sidecar.events("session_ended")
        assert returned["away_seconds"] > 0


def test_on_a_terminal_a_first_start_names_its_page_its_topics_and_its_schemas(
    service: Service,
) -> None:
    controlling, terminal = os.openpty()
    service.sidecar.stderr = terminal
    service.sidecar.start_and_stream()
    os.close(terminal)
    service.sql("INSERT INTO items VALUES (1, 1, 'x')")
    service.await_published()
    assert service.sidecar.terminate() == 0
    text = _read_all(controlling)
    assert f"http://127.0.0.1:{service.sidecar.port}/" in text
    for said in ("topics_created", "schema_published", f"{service.name}.public.items-value"):
        assert said in text


def _read_all(controlling: int) -> str:
    """Read what was written to a terminal whose other end is closed."""
    data = b""
    try:
        while part := os.read(controlling, 65536):
            data += part
    except OSError:  # as Linux reports the end of a terminal
        os.close(controlling)
    return data.decode()


def test_a_changed_configuration_is_reported_with_the_keys_that_changed(service: Service) -> None:
    service.sidecar.start_and_stream()
    assert service.sidecar.terminate() == 0
    config = service.sidecar.config
    text = config.read_text().replace('prefixes = ["mark"]', 'prefixes = ["mark", "audit"]')
    named = TABLES.replace("public.*", "public.items")
    config.write_text(text.replace(TABLES, f"{named}unkeyed = true\n"))
    service.sidecar.start_and_stream()
    (changed,) = service.sidecar.events("configuration_changed")
    assert changed["added"] == ["tables.public.items"]
    assert changed["removed"] == ["tables.public.*"]
    assert changed["changed"] == ["messages.prefixes"]
    assert changed["settings"] == ['messages.prefixes: ["mark"] -> ["mark", "audit"]']


def test_what_changed_is_known_after_a_start_that_was_refused(service: Service) -> None:
    service.sidecar.start_and_stream()
    assert service.sidecar.terminate() == 0
    config, text = service.sidecar.config, service.sidecar.config.read_text()
    assert 'columns = ["*"]' in text
    config.write_text(text.replace('columns = ["*"]', 'columns = ["*", "absent"]', 1))
    service.sidecar.start()
    assert service.sidecar.await_exit() == 2
    config.write_text(text.replace('columns = ["*"]', 'columns = ["*", "label"]', 1))
    service.sidecar.start_and_stream()
    (changed,) = service.sidecar.events("configuration_changed")
    assert changed["settings"] == ['tables.public.*.columns: ["*"] -> ["*", "label"]']
