"""Rows that were written under another name of a captured table are published or refused."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.conftest import MARKS, Service
from tests.acceptance.events import read_registry, read_topics
from tests.acceptance.own_postgres import halt_of

_ITEMS = '\n[[tables]]\nname = "public.items"\ncolumns = ["*"]\n'
_BUSY = '\n[[tables]]\nname = "public.busy"\ncolumns = ["*"]\n'
_CREATE = ("CREATE TABLE items (id int PRIMARY KEY)", "CREATE TABLE busy (id int PRIMARY KEY)")


def _insert(table: str, *ids: int) -> str:
    return f"INSERT INTO {table} VALUES {', '.join(f'({number})' for number in ids)}"


def _rows(service: Service, table: str) -> list[Any]:
    """Return the rows of a table's events, in their order in the source."""
    reader = read_registry(service.kafka, service.name)
    found = [
        (value["source"]["commit_lsn"], value["after"]["id"])
        for records in read_topics(service.kafka, service.topics(table)).values()
        for _, framed, _ in records
        if framed and (value := reader.read(framed))
    ]
    return [number for _, number in sorted(found)]


@pytest.fixture
def items(make_service: Callable[..., Service]) -> Service:
    """Yield a service that has captured one row of `items`; its sidecar is stopped."""
    service = make_service(_ITEMS + _BUSY + MARKS)
    service.sql(*_CREATE, "CREATE PUBLICATION cdc FOR ALL TABLES")
    service.sidecar.start_and_stream()
    service.sql(_insert("items", 1))
    service.await_published()
    assert service.sidecar.terminate() == 0
    return service


def test_unread_rows_under_the_old_name_follow_the_new_one_that_is_configured(
    items: Service,
) -> None:
    items.sql(_insert("items", 2), "ALTER TABLE items RENAME TO things", _insert("things", 3))
    items.reconfigure('"public.items"', '"public.things"')
    items.sidecar.start_and_stream()
    items.await_published()
    assert _rows(items, "things") == [2, 3]


def test_rows_between_two_renames_are_published_and_the_cure_of_the_halt_loses_none(
    items: Service,
) -> None:
    items.sql("ALTER TABLE items RENAME TO things", _insert("things", 2))
    items.sidecar.start()
    assert halt_of(items.sidecar)["code"] == "CDC-208"
    items.sql("ALTER TABLE things RENAME TO items", _insert("items", 3))
    items.sidecar.start_and_stream()
    items.await_published()
    assert _rows(items, "items") == [1, 2, 3]


def test_a_rename_while_running_halts_before_the_first_row_though_no_row_came_before(
    items: Service,
) -> None:
    items.sidecar.start_and_stream()
    items.sql(
        "ALTER TABLE items RENAME TO things",
        f"BEGIN; {_insert('busy', 1)}; {_insert('things', 2)}; COMMIT",
        _insert("busy", 2),
    )
    halt = halt_of(items.sidecar)
    # the first row of the other name shows it, unless the guardian has looked just before it
    assert (halt["code"], "public.things" in halt["fact"]) in [
        ("CDC-303", True),
        ("CDC-208", False),
    ]
    items.sql("ALTER TABLE things RENAME TO items")
    items.sidecar.start_and_stream()
    items.await_published()
    assert _rows(items, "items") == [1, 2]
    assert _rows(items, "busy") == [1, 2]


def test_a_table_that_was_swapped_and_dropped_halts_until_a_person_says_where_its_rows_go(
    items: Service,
) -> None:
    items.sql(
        "ALTER TABLE items RENAME TO items_old",
        _insert("items_old", 2),
        "CREATE TABLE items (id int PRIMARY KEY)",
        _insert("items", 3),
        "DROP TABLE items_old",
    )
    items.sidecar.start()
    halt = halt_of(items.sidecar)
    assert halt["code"] == "CDC-303"
    assert 'former_names = ["public.items_old"]' in halt["hint"]
    named = '"public.items"\nformer_names = ["public.items_old"]'
    items.reconfigure('"public.items"', named)
    items.sidecar.start_and_stream()
    items.await_published()
    assert _rows(items, "items") == [1, 2, 3]


def test_an_outbox_that_was_moved_and_renamed_loses_no_event(
    make_service: Callable[..., Service],
) -> None:
    topic = "events.{aggregatetype}"
    service = make_service(f'\n[[outboxes]]\ntable = "public.box"\ntopic = "{topic}"\n' + MARKS)
    service.sql(
        "CREATE TABLE box (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), aggregatetype text,"
        " aggregateid text, type text, payload text)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    service.sidecar.start_and_stream()
    assert service.sidecar.terminate() == 0
    insert = (
        "INSERT INTO {} (aggregatetype, aggregateid, type, payload) VALUES ('{}', 'k', 't', 'p')"
    )
    service.sql(
        insert.format("box", service.name),
        "CREATE SCHEMA other",
        "ALTER TABLE box SET SCHEMA other",
        insert.format("other.box", service.name),
        "ALTER TABLE other.box RENAME TO outbox",
    )
    service.reconfigure('"public.box"', '"other.outbox"')
    service.sidecar.start_and_stream()
    service.await_published()
    (records,) = _records(service, f"events.{service.name}")
    assert len(records) == 2


def _records(service: Service, topic: str) -> list[list[Any]]:
    """Return the records of each partition that has any."""
    return [records for records in read_topics(service.kafka, [topic]).values() if records]


def test_rows_of_partitions_under_their_own_names_follow_the_root(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(_ITEMS + MARKS)
    service.sql(
        "CREATE TABLE items (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE middle PARTITION OF items FOR VALUES FROM (0) TO (9) PARTITION BY RANGE (id)",
        "CREATE TABLE leaf PARTITION OF middle FOR VALUES FROM (0) TO (9)",
        "CREATE PUBLICATION cdc FOR TABLE items WITH (publish_via_partition_root)",
    )
    service.sidecar.start_and_stream()
    assert service.sidecar.terminate() == 0
    service.sql(
        _insert("items", 1),
        "ALTER PUBLICATION cdc SET (publish_via_partition_root = false)",
        _insert("items", 2),
        "ALTER PUBLICATION cdc SET (publish_via_partition_root = true)",
        _insert("items", 3),
    )
    service.sidecar.start()
    assert halt_of(service.sidecar)["code"] == "CDC-508"  # operations may have been left out too
    assert service.sidecar.run("position accept-gap", "--yes").returncode == 0
    service.sidecar.start_and_stream()
    service.await_published()
    assert _rows(service, "items") == [1, 2, 3]
