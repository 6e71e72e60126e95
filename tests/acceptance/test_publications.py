"""A changed publication, with which the server silently skips changes, is an error (I7)."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from cdc_sidecar.failpoints import VARIABLE
from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.own_postgres import halt_of, published_ids

_ITEMS = '\n[[tables]]\nname = "public.items"\ncolumns = ["id", "n", "label"]\n' + MARKS
_LOOKED = 10  # seconds: the guardian checks once in this time
_SMALL = {"CDC_SIDECAR__PUBLISH__SPLIT_AFTER": '"1us"'}


@pytest.fixture
def listed(make_service: Callable[..., Service]) -> Service:
    """Yield a service whose configuration and publication name one table."""
    service = make_service(_ITEMS)
    service.sql(
        "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)",
        "CREATE PUBLICATION cdc FOR TABLE items",
    )
    return service


@pytest.mark.parametrize(
    ("statements", "fact"),
    [
        (["ALTER PUBLICATION cdc DROP TABLE items"], "public.items left publication cdc"),
        (
            ["ALTER TABLE items RENAME TO old", "CREATE TABLE items (id bigint PRIMARY KEY)"],
            "public.items left publication cdc",
        ),
        (["ALTER PUBLICATION cdc SET (publish = 'insert, delete')"], "does not publish update"),
    ],
    ids=["dropped", "swapped", "operations"],
)
def test_a_table_or_operation_that_left_the_publication_is_noticed_without_a_row(
    listed: Service, statements: list[str], fact: str
) -> None:
    listed.sidecar.start_and_stream()
    listed.sql(*statements)
    halt = halt_of(listed.sidecar, deadline=3 * _LOOKED)
    assert halt["code"] == "CDC-208"
    assert fact in halt["fact"]


def test_a_publication_that_lacks_a_configured_table_at_the_start_is_refused(
    listed: Service,
) -> None:
    listed.sql("ALTER PUBLICATION cdc DROP TABLE items")
    halt = _halt(listed, "CDC-208")
    assert "ADD TABLE public.items" in halt["hint"]


def test_rows_written_before_the_publication_was_made_are_not_skipped_but_refused(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES)
    service.sql(
        "CREATE TABLE items (id bigint PRIMARY KEY)",
        f"SELECT pg_create_logical_replication_slot('{service.name}_cdc', 'pgoutput')",
        "INSERT INTO items VALUES (1)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
        "INSERT INTO items VALUES (2)",
        f"ALTER DATABASE {service.dsn.rpartition('=')[2]} SET client_min_messages = error",
    )
    service.sidecar.start("--bootstrap")
    halt = halt_of(service.sidecar)
    assert halt["code"] == "CDC-207"
    assert "then the slot" in halt["hint"]


def _split(service: Service) -> None:
    """Publish only the first part of a transaction."""
    service.sidecar.start_and_stream()
    service.sidecar.kill()
    service.sql("INSERT INTO items SELECT n, n, 'row ' || n FROM generate_series(1, 20000) n")
    _start(service, {VARIABLE: "after_commit#1=kill"})
    assert service.sidecar.await_exit() == -9
    assert service.sidecar.events("transaction_split")


def _start(service: Service, environment: Mapping[str, str]) -> None:
    service.sidecar.start(environment={**_SMALL, **environment})


def test_what_changes_inside_a_split_transaction_is_refused_until_it_is_restored(
    listed: Service,
) -> None:
    _split(listed)
    listed.sql("CREATE PUBLICATION other FOR TABLE items")
    config = listed.sidecar.config
    before = config.read_text()
    for old, new in (('"n", "label"', '"n"'), ('publication = "cdc"', 'publication = "other"')):
        config.write_text(before.replace(old, new))
        assert "restore" in _halt(listed, "CDC-506")["hint"]
    config.write_text(before)
    listed.sql("ALTER PUBLICATION cdc DROP TABLE items")
    _halt(listed, "CDC-208")
    listed.sql("ALTER PUBLICATION cdc ADD TABLE items")
    _halt(listed, "CDC-508")
    assert listed.sidecar.run("position accept-gap", "--yes").returncode == 0
    listed.sidecar.start_and_stream()
    listed.await_published()
    assert published_ids(listed) == list(range(1, 20001))


def _halt(service: Service, code: str) -> dict[str, Any]:
    service.sidecar.start()
    halt = halt_of(service.sidecar)
    assert halt["code"] == code
    return halt
