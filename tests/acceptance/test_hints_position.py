"""The hints of errors about the position and about rows work when they are followed."""

from collections.abc import Callable

import pytest

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.obeying import Person
from tests.acceptance.own_postgres import ITEMS, published_ids

_OUTBOX = '\n[[outboxes]]\ntable = "public.outbox"\n'


@pytest.fixture
def person(service: Service, kafka: KafkaBroker, postgres: PostgresServer) -> Person:
    """Return a person whose sidecar has published item 1, and is down."""
    made = Person(service, kafka, postgres)
    assert made.start_and_obey() == []
    service.sql("INSERT INTO items VALUES (1, 1, 'a')")
    service.await_published()
    assert service.sidecar.terminate() == 0
    return made


def test_after_the_hints_about_the_slot_of_the_position_it_runs(person: Person) -> None:
    service = person.service
    slot = f"{service.name}_cdc"
    service.sql(
        f"SELECT pg_drop_replication_slot('{slot}')",
        f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')",
    )
    assert person.start_and_obey() == ["CDC-504"]
    assert service.sidecar.terminate() == 0
    service.reconfigure(f'slot = "{slot}"', f'slot = "{service.name}_new"')
    assert person.start_and_obey() == ["CDC-507"]
    service.sql("INSERT INTO items VALUES (2, 2, 'b')")
    service.await_published()
    assert published_ids(service) == [1, 2]


def test_after_the_hint_about_changes_that_are_missing_it_runs(
    make_service: Callable[..., Service], kafka: KafkaBroker, postgres: PostgresServer
) -> None:
    service = make_service(TABLES + MARKS)
    service.sql(ITEMS[0], "CREATE PUBLICATION cdc FOR TABLE items")
    person = Person(service, kafka, postgres)
    assert person.start_and_obey() == []
    assert service.sidecar.terminate() == 0
    service.sql("ALTER PUBLICATION cdc DROP TABLE items", "ALTER PUBLICATION cdc ADD TABLE items")
    assert person.start_and_obey() == ["CDC-508"]


def test_after_the_hints_of_a_command_that_moves_the_position_it_runs(person: Person) -> None:
    service = person.service
    assert person.start() is None
    words = ("position reset", "--to", "0/1", "--yes")
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
    assert 'op="t"' in service.sidecar.get("/metrics")[1]


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
    assert 'op="outbox",table="public.outbox"} 1.0' in service.sidecar.get("/metrics")[1]
