"""A changed key beside a large value that was not touched: what a reader can still find."""

from collections.abc import Callable
from typing import Any

from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.events import read_registry, read_topics

_BIG = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 2000) n"


def _events(service: Service, table: str) -> dict[int, Any]:
    """Return the events of a table by their total order."""
    reader = read_registry(service.kafka, service.name)
    found = read_topics(service.kafka, service.topics(table)).values()
    values = [reader.read(value) for records in found for _, value, _ in records if value]
    return {value["transaction"]["total_order"]: value for value in values}


def test_the_event_before_a_create_without_its_value_is_the_delete_of_the_row_that_had_it(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES + MARKS)
    service.sql(
        "CREATE TABLE plain (id int PRIMARY KEY, big text)",
        "CREATE TABLE whole (id int PRIMARY KEY, big text)",
        "ALTER TABLE whole REPLICA IDENTITY FULL",
        *(f"INSERT INTO {t} SELECT n, ({_BIG}) FROM unnest('{{1,2}}'::int[]) n" for t in
          ("plain", "whole")),
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )  # fmt: skip
    service.sidecar.start_and_stream()
    service.sql("BEGIN; UPDATE plain SET id = id + 10; UPDATE whole SET id = id + 10; COMMIT")
    service.await_published()
    for table, big, unchanged in (("plain", 0, ["big"]), ("whole", 64_000, [])):
        events = _events(service, table)
        created = {order: event for order, event in events.items() if event["op"] == "c"}
        assert sorted(event["after"]["id"] for event in created.values()) == [11, 12]
        for order, event in created.items():
            assert (len(event["after"]["big"] or ""), event["unchanged"]) == (big, unchanged)
            deleted = events[order - 1]
            assert (deleted["op"], deleted["before"]["id"]) == ("d", event["after"]["id"] - 10)
