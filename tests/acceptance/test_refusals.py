"""Cases that a person must decide end with exit status 3 and a hint (I7, B2, B4, B5)."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from cdc_sidecar.failpoints import VARIABLE
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import TABLES, Service
from tests.acceptance.own_postgres import halt_of

CREATE = (
    "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)",
    "CREATE PUBLICATION cdc FOR ALL TABLES",
)


def _halt(service: Service, *arguments: str, status: int = 3) -> dict[str, Any]:
    """Start the sidecar, wait until it ends without a signal, and return the reason."""
    service.sidecar.start(*arguments)
    assert service.sidecar.await_exit() == status, service.sidecar.log_text()
    assert "Traceback" not in service.sidecar.log_text()
    return service.sidecar.events("sidecar_halted")[-1]


def _run_once(service: Service) -> None:
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 1, 'a')")
    service.await_published()
    assert service.sidecar.terminate() == 0


def test_a_slot_dropped_and_made_again_is_refused_with_the_gap(service: Service) -> None:
    _run_once(service)
    slot = f"{service.name}_cdc"
    service.sql(
        f"SELECT pg_drop_replication_slot('{slot}')",
        "INSERT INTO items VALUES (2, 2, 'lost')",
        f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')",
    )
    halt = _halt(service)
    assert halt["code"] == "CDC-504"
    assert "bytes of WAL" in halt["fact"]


def test_a_slot_advanced_by_someone_else_is_refused(service: Service) -> None:
    _run_once(service)
    service.sql(
        "INSERT INTO items VALUES (2, 2, 'lost')",
        f"SELECT pg_replication_slot_advance('{service.name}_cdc', pg_current_wal_lsn())",
    )
    assert _halt(service)["code"] == "CDC-504"


def test_a_missing_slot_is_refused_and_never_made_again(service: Service) -> None:
    _run_once(service)
    service.sql(f"SELECT pg_drop_replication_slot('{service.name}_cdc')")
    assert _halt(service)["code"] == "CDC-204"
    with psycopg.connect(service.dsn) as connection:
        query = "SELECT FROM pg_replication_slots WHERE slot_name = %s"
        assert connection.execute(query, (f"{service.name}_cdc",)).fetchone() is None


def test_a_slot_without_a_position_needs_a_persons_word(service: Service) -> None:
    service.sql(f"SELECT pg_create_logical_replication_slot('{service.name}_cdc', 'pgoutput')")
    service.sql("INSERT INTO items VALUES (1, 1, 'kept')")
    halt = _halt(service)
    assert halt["code"] == "CDC-501"
    assert "--bootstrap" in halt["hint"]
    service.sidecar.start_and_stream("--bootstrap")
    service.await_published()
    assert service.sidecar.scrape().count('op="c",table="public.items"} 1.0') == 1


def test_without_leave_to_create_it_a_missing_slot_is_refused(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES, **{"create_slot = true": "create_slot = false"})
    service.sql(*CREATE)
    assert _halt(service)["code"] == "CDC-204"


def test_another_database_is_refused_before_anything_is_fenced(
    service: Service, make_service: Callable[..., Service], postgres: PostgresServer
) -> None:
    service.sidecar.start_and_stream()
    other = f"other_{service.name}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{other}"'.encode())
    clone = make_service(
        TABLES,
        name=service.name,
        **{service.dsn: postgres.dsn(other), f'slot = "{service.name}_cdc"': 'slot = "clone"'},
    )
    clone.sidecar.config.write_text(
        clone.sidecar.config.read_text().replace(
            "[topics]", f'transactional_id = "cdc.{service.name}.{service.name}_cdc"\n[topics]'
        )
    )
    with psycopg.connect(postgres.dsn(other), autocommit=True) as connection:
        for statement in CREATE:
            connection.execute(statement.encode())
    clone.sidecar.start(environment={VARIABLE: "after_init_transactions=kill"})
    halt = halt_of(clone.sidecar)
    assert halt["code"] == "CDC-503"
    assert other in halt["fact"]
    service.sql("INSERT INTO items VALUES (1, 1, 'still publishing')")
    service.await_published()
    assert (service.sidecar.status() or {})["session"] == 1
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{other}" WITH (FORCE)'.encode())


def test_a_missing_publication_is_refused(make_service: Callable[..., Service]) -> None:
    service = make_service(TABLES)
    service.sql(CREATE[0])
    assert _halt(service)["code"] == "CDC-207"


def test_a_publication_dropped_while_running_is_noticed(service: Service) -> None:
    service.sidecar.start_and_stream()
    service.sql("DROP PUBLICATION cdc", "INSERT INTO items VALUES (1, 1, 'a')")
    assert service.sidecar.await_exit(40) == 3
    assert service.sidecar.events("sidecar_halted")[-1]["code"] == "CDC-207"


def test_every_table_that_cannot_be_captured_is_named_at_once(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(
        '\n[[tables]]\nname = "public.a"\ncolumns = ["id", "nme"]\n'
        '\n[[tables]]\nname = "public.b"\ncolumns = ["*"]\n'
        '\n[[tables]]\nname = "public.c"\ncolumns = ["*"]\n'
    )
    service.sql(
        "CREATE TYPE pair AS (x int, y int)",
        "CREATE TABLE a (id int PRIMARY KEY, name text)",
        "CREATE TABLE b (line text)",
        "CREATE TABLE c (id int PRIMARY KEY, p pair, grid int[][])",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    halt = _halt(service, status=2)
    assert halt["code"] == "CDC-110"
    for part in ("nme", "public.b: has no key", "column p is of composite", "column grid"):
        assert part in halt["fact"]


def test_an_outbox_without_its_columns_is_refused_at_start(
    make_service: Callable[..., Service],
) -> None:
    service = make_service('\n[[outboxes]]\ntable = "public.outbox"\n')
    service.sql(
        "CREATE TABLE outbox (id int PRIMARY KEY, aggregatetype text, payload int)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    fact = _halt(service, status=2)["fact"]
    assert all(part in fact for part in ("aggregateid", "type", "payload"))


@pytest.mark.parametrize(
    ("replaced", "code", "status"),
    [
        ({"create = true": "create = false"}, "CDC-404", 3),
        ({"user=postgres": "user=nobody"}, "CDC-202", 3),
        ({'transaction_timeout = "30s"': 'transaction_timeout = "2h"'}, "CDC-402", 3),
        ({"[topics]": '[kafka.client]\n"compression.type" = "zip"\n[topics]'}, "CDC-403", 2),
    ],
    ids=["topics", "dsn", "timeout", "setting"],
)
def test_a_wrong_setting_is_refused_with_its_code(
    make_service: Callable[..., Service],
    replaced: dict[str, str],
    code: str,
    status: int,
) -> None:
    service = make_service(TABLES, **replaced)
    service.sql(*CREATE)
    assert _halt(service, status=status)["code"] == code


def test_a_compacted_topic_refuses_events_without_a_key(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(
        f'{TABLES}truncate = "event"\n',
        **{"[publish]": '[topics.config]\n"cleanup.policy" = "compact"\n[publish]'},
    )
    service.sql(*CREATE)
    halt = _halt(service)
    assert halt["code"] == "CDC-405"
    assert "truncate" in halt["fact"]


def test_two_schemas_of_a_renamed_captured_table_never_mix(service: Service) -> None:
    config = service.sidecar.config
    config.write_text(config.read_text().replace('"public.*"', '"public.items"'))
    service.sidecar.start_and_stream()
    service.sql(
        "INSERT INTO items VALUES (1, 1, 'a')",
        "ALTER TABLE items RENAME TO things",
        "INSERT INTO things VALUES (2, 2, 'b')",
    )
    assert service.sidecar.await_exit(40) == 3
    assert service.sidecar.events("sidecar_halted")[-1]["code"] in ("CDC-303", "CDC-208")
