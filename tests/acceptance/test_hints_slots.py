"""The hints of errors about the server, slots and publications work when they are followed."""

from collections.abc import Callable

import psycopg

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import MARKS, TABLES, Service, Services
from tests.acceptance.obeying import Person
from tests.acceptance.own_postgres import ITEMS
from tests.conftest import new_database


def test_after_the_hints_about_the_servers_settings_it_runs(
    services: Services, untuned: PostgresServer, kafka: KafkaBroker
) -> None:
    service = services(untuned, "untuned")
    service.sql(*ITEMS)
    assert Person(service, kafka, untuned).start_and_obey() == ["CDC-210", "CDC-213"]


def test_after_the_hint_about_a_slot_of_another_database_it_runs(
    service: Service, kafka: KafkaBroker, postgres: PostgresServer
) -> None:
    with (
        new_database(postgres) as other,
        psycopg.connect(other, autocommit=True) as connection,
    ):
        slot = f"{service.name}_cdc"
        connection.execute(
            "SELECT pg_create_logical_replication_slot(%s::text, 'pgoutput')", [slot]
        )
        assert Person(service, kafka, postgres).start_and_obey() == ["CDC-206"]
        service.sidecar.kill()


def test_after_the_hints_about_a_publication_that_is_missing_and_then_dropped_it_runs(
    make_service: Callable[..., Service], kafka: KafkaBroker, postgres: PostgresServer
) -> None:
    service = make_service(TABLES + MARKS, **{"create_slot = true": "create_slot = false"})
    service.sql(ITEMS[0])
    person = Person(service, kafka, postgres)
    assert person.start_and_obey() == ["CDC-207", "CDC-501"]
    service.sql("DROP PUBLICATION cdc", "INSERT INTO items VALUES (1, 1, 'not sent')")
    assert person.obey_halt() == "CDC-207"
    assert person.start_and_obey() == []


def test_after_the_hints_about_a_missing_slot_it_runs(
    make_service: Callable[..., Service], kafka: KafkaBroker, postgres: PostgresServer
) -> None:
    service = make_service(TABLES + MARKS, **{"create_slot = true": "create_slot = false"})
    service.sql(*ITEMS)
    person = Person(service, kafka, postgres)
    assert person.start_and_obey() == ["CDC-204", "CDC-501"]
