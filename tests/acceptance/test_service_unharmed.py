"""The sidecar never asks for something after which statements of the service fail or wait."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.setup import run_setup
from tests.acceptance.test_check import codes_of, faults_of, refusal_of

_CONFIG = '\n[[tables]]\nname = "public.items"\ncolumns = ["*"]\n' + MARKS
_CHANGES = ("UPDATE items SET n = n + 1", "DELETE FROM items")
_KEY = "CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, g int{})"
_GENERATED = " GENERATED ALWAYS AS (id) STORED"
_CASES = {
    "identity FULL with a generated column": (
        _KEY.format(_GENERATED),
        "ALTER TABLE items REPLICA IDENTITY FULL",
        "CREATE PUBLICATION cdc FOR TABLE items",
    ),
    "identity FULL with a column list": (
        _KEY.format(""),
        "ALTER TABLE items REPLICA IDENTITY FULL",
        "CREATE PUBLICATION cdc FOR TABLE items (id, n)",
    ),
    "a row filter outside of the identity": (
        _KEY.format(""),
        "CREATE PUBLICATION cdc FOR TABLE items WHERE (n > 0)",
    ),
    "identity NOTHING": (
        _KEY.format(""),
        "ALTER TABLE items REPLICA IDENTITY NOTHING",
        "CREATE PUBLICATION cdc FOR TABLE items",
    ),
    "a key that is checked late": (
        "CREATE TABLE items (id int PRIMARY KEY DEFERRABLE, n int NOT NULL DEFAULT 0, g int)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    ),
    "a partition without an identity": (
        f"{_KEY.format('')} PARTITION BY RANGE (id)",
        "CREATE TABLE part PARTITION OF items FOR VALUES FROM (0) TO (100)",
        "ALTER TABLE part REPLICA IDENTITY NOTHING",
        "CREATE PUBLICATION cdc FOR TABLE items WITH (publish_via_partition_root)",
    ),
}


def _change(service: Service) -> None:
    """Do what a service does."""
    service.sql("INSERT INTO items (id) VALUES (1)", *_CHANGES)


@pytest.mark.parametrize("statements", _CASES.values(), ids=_CASES)
def test_a_publication_that_breaks_the_service_is_refused_until_the_hint_is_followed(
    make_service: Callable[..., Service], statements: tuple[str, ...]
) -> None:
    service = make_service(_CONFIG)
    service.sql(*statements)
    with pytest.raises(psycopg.Error):
        _change(service)
    service.sql("TRUNCATE items")
    faults = {fault["code"]: fault for fault in faults_of(service)}
    assert refusal_of(service) in faults
    service.sql(*faults["CDC-214"]["hint"].split("; "))
    assert faults_of(service) == []
    _change(service)
    service.sidecar.start_and_stream()
    _change(service)
    service.await_published()


def test_no_step_of_a_hint_breaks_the_service_for_a_moment(
    make_service: Callable[..., Service],
) -> None:
    unkeyed = '\n[[tables]]\nname = "public.{}"\ncolumns = ["*"]\nunkeyed = true\n'
    service = make_service(unkeyed.format("sent") + unkeyed.format("unsent"))
    service.sql(
        "CREATE TABLE sent (n int)",
        "CREATE TABLE unsent (n int)",
        "CREATE PUBLICATION cdc FOR TABLE sent WITH (publish = 'insert')",
    )
    hints = [fault["hint"] for fault in faults_of(service)]
    assert len(hints) == 2
    for statement in "; ".join(hints).split("; "):
        service.sql(statement, *(f"UPDATE {name} SET n = 1" for name in ("sent", "unsent")))
    assert faults_of(service) == []


def test_check_finds_tables_that_the_sidecar_does_not_capture_too(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(_CONFIG)
    service.sql(
        _KEY.format(""),
        'CREATE TABLE "Audit log" (line text)',
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    (fault,) = faults_of(service)
    assert (fault["code"], '"Audit log"' in fault["fact"]) == ("CDC-214", True)
    service.sql(fault["hint"])
    service.sql("INSERT INTO \"Audit log\" VALUES ('x')", 'DELETE FROM "Audit log"')
    assert codes_of(service) == set()


def test_setup_sql_makes_no_publication_that_breaks_the_service(
    make_service: Callable[..., Service], postgres: PostgresServer, tmp_path: Path
) -> None:
    service = make_service(TABLES + MARKS, **{"create_slot = true": "create_slot = false"})
    service.sql(
        _KEY.format(_GENERATED),
        "ALTER TABLE items REPLICA IDENTITY FULL",
        "CREATE TABLE logs (line text)",
        "CREATE TABLE good (id int PRIMARY KEY)",
    )
    printed = run_setup(service, postgres, tmp_path)
    assert "the service could not UPDATE or DELETE rows of public.items, public.logs" in printed
    _change(service)
    assert codes_of(service) == {"CDC-110", "CDC-204", "CDC-207"}
    hint = printed.split("HINT:")[1].splitlines()[0]
    service.sql(*hint.strip().split("; "))
    assert "ERROR" not in run_setup(service, postgres, tmp_path)
    service.sql("INSERT INTO logs VALUES ('a')", "DELETE FROM logs")
    _change(service)


@pytest.mark.parametrize("names", ["*", 'FIRST 1 (standby, "CDC-sidecar")', "ANY 1 (*)"])
def test_commits_of_the_service_never_wait_for_the_sidecar(service: Service, names: str) -> None:
    with psycopg.connect(service.dsn, autocommit=True) as connection:
        try:
            connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'".encode())
            connection.execute("SELECT pg_reload_conf()")
            assert "CDC-214" in codes_of(service)
            assert refusal_of(service) == "CDC-214"
        finally:
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")
