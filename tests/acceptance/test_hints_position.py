"""The hints of errors about the position and about rows work when they are followed."""

from collections.abc import Callable

from confluent_kafka import Producer

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.obeying import Person
from tests.acceptance.own_postgres import ITEMS, published_ids

_OUTBOX = '\n[[outboxes]]\ntable = "public.outbox"\n'


def test_after_the_hints_of_a_command_that_moves_the_position_it_runs(
    service: Service, kafka: KafkaBroker, postgres: PostgresServer
) -> None:
    person, words = Person(service, kafka, postgres), ("position reset", "--to", "0/1", "--yes")
    assert person.start_and_obey() == []
    refused = person.error(service.sidecar.run(*words).stderr)
    assert refused["code"] == "CDC-510"
    assert refused["hint"] == "stop the sidecar and its standbys, then run this command again"
    assert service.sidecar.terminate() == 0
    service.sql("INSERT INTO items VALUES (2, 2, 'left out')")
    refused = person.error(service.sidecar.run(*words).stderr)
    assert refused["code"] == "CDC-511"
    lsn = refused["hint"].rpartition(" to ")[2]
    done = service.sidecar.run("position reset", "--to", lsn, "--yes")
    assert done.returncode == 0, done.stderr
    assert person.start_and_obey() == []


def test_after_the_hint_about_a_truncated_table_it_runs(
    make_service: Callable[..., Service], kafka: KafkaBroker, postgres: PostgresServer
) -> None:
    service = make_service(MARKS + TABLES)
    service.reconfigure('columns = ["*"]\n', 'columns = ["*"]\ntruncate = "halt"\n')
    service.sql(*ITEMS)
    person = Person(service, kafka, postgres)
    assert person.start_and_obey() == []
    service.sql("TRUNCATE items")
    assert person.obey_halt() == "CDC-305"
    assert person.start_and_obey() == []
    assert 'op="t"' in service.sidecar.scrape()


def test_after_the_hint_about_an_outbox_row_without_a_key_it_runs(
    make_service: Callable[..., Service], kafka: KafkaBroker, postgres: PostgresServer
) -> None:
    service = make_service(MARKS + _OUTBOX)
    service.sql(
        "CREATE TABLE outbox (id int, aggregatetype text, aggregateid text, type text, payload"
        " text)",
        "CREATE PUBLICATION cdc FOR TABLE outbox WITH (publish = 'insert')",
    )
    person = Person(service, kafka, postgres)
    assert person.start_and_obey() == []
    service.sql(
        "INSERT INTO outbox VALUES (1, 'a', NULL, 't', 'x')",
        "INSERT INTO outbox VALUES (2, 'a', 'k', 't', 'x')",
    )
    assert person.obey_halt() == "CDC-304"
    assert person.start_and_obey() == []
    assert 'op="outbox",table="public.outbox"} 1.0' in service.sidecar.scrape()


def test_after_the_hint_about_a_position_that_something_else_wrote_it_runs(
    service: Service, kafka: KafkaBroker, postgres: PostgresServer
) -> None:
    person = Person(service, kafka, postgres)
    assert person.start_and_obey() == []
    assert service.sidecar.terminate() == 0
    service.sql("INSERT INTO items VALUES (1, 1, 'a')")
    producer = Producer({"bootstrap.servers": service.kafka})
    key = f"cdc.{service.name}.{service.name}_cdc"
    producer.produce(f"_cdc.{service.name}.position", key=key, value=b"no position")
    assert producer.flush(30) == 0
    assert person.start_and_obey() == ["CDC-502", "CDC-501"]
    assert published_ids(service) == [1]
