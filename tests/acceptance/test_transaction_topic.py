"""The transaction topic has BEGIN, END and counts of every source transaction (B70)."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from cdc_sidecar.failpoints import VARIABLE
from tests.acceptance.conftest import TABLES, Service
from tests.acceptance.events import Event, read_registry, read_topics
from tests.effort import LONG, chance

_TOPIC = '[messages]\nprefixes = ["mark"]\n[transactions]\ntopic = true\n'
_MESSAGES = "message"
_TABLES = (
    "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)",
    "CREATE TABLE notes (id bigint PRIMARY KEY)",
)
_HITS = (
    "before_produce#1",
    "before_produce#2",
    "after_produce#1",
    "after_produce#2",
    "after_position#1",
    "before_commit#2",
    "after_commit#1",
    "before_acknowledge#1",
)
"""Inside a part and between two, wherever the one before left off."""


def _metadata_records(service: Service) -> list[Any]:
    """Return BEGIN and END of every transaction with rows, in the topic's order."""
    reader = read_registry(service.kafka, service.name)
    places = read_topics(service.kafka, [f"{service.name}.transaction"])
    assert [number for (_, number), records in places.items() if records] == [0]
    found = []
    for key, value, _ in places[f"{service.name}.transaction", 0]:
        assert key is not None
        assert value is not None
        found.append(reader.read(value))
        assert reader.read(key) == {"id": found[-1]["id"]}
    marks = {
        bound["id"]
        for bound in found
        if [counted["data_collection"] for counted in bound["data_collections"] or ()]
        == [_MESSAGES]
    }
    progress = [bound for bound in found if bound["id"].startswith("0:")]
    assert all((b["status"], b["event_count"]) == ("END", 0) for b in progress)
    ends = [bound["end_lsn"] for bound in found if bound["status"] == "END"]
    assert ends == sorted(ends)
    return [b for b in found if b["id"] not in marks and b not in progress]


def _counted(events: list[Event], service: Service) -> dict[str, dict[str, int]]:
    """Return the number of events of each table, by the commit LSN of their transaction."""
    counted: dict[str, Counter[str]] = {}
    for event in events:
        if event.identity is not None:
            table = event.topic.removeprefix(f"{service.name}.")
            counted.setdefault(event.identity.split("/")[0], Counter())[table] += 1
    return {lsn: dict(counts) for lsn, counts in counted.items()}


def _assert_bracketed(service: Service, events: list[Event]) -> list[Any]:
    """Check the BEGIN and END records against the oracle's events; return the ENDs."""
    found, expected = _metadata_records(service), _counted(events, service)
    begins, ends = found[::2], found[1::2]
    assert {bound["status"] for bound in begins} == {"BEGIN"}
    assert {bound["status"] for bound in ends} == {"END"}
    assert [bound["id"] for bound in begins] == [bound["id"] for bound in ends]
    assert [bound["id"].partition(":")[2] for bound in ends] == list(expected)
    for bound, counts in zip(ends, expected.values(), strict=True):
        collections = {c["data_collection"]: c["event_count"] for c in bound["data_collections"]}
        assert collections == counts
        assert bound["event_count"] == sum(counts.values())
    return ends


def test_every_transaction_is_bracketed_by_begin_and_an_end_that_counts_its_events(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES + _TOPIC)
    sidecar = service.sidecar
    service.sql(
        *_TABLES,
        "CREATE TABLE hidden (id bigint PRIMARY KEY)",
        "CREATE PUBLICATION cdc FOR TABLE items, notes",
    )
    sidecar.start_and_stream()
    oracle = service.oracle()
    service.sql(
        "INSERT INTO items VALUES (1, 1, 'a')",
        "BEGIN; INSERT INTO items VALUES (2, 1, 'a'); INSERT INTO notes VALUES (1), (2);"
        " UPDATE items SET id = 3 WHERE id = 2; COMMIT",
        "BEGIN; INSERT INTO notes VALUES (9); ROLLBACK",
        "INSERT INTO hidden VALUES (1)",
        "DELETE FROM notes",
    )
    sidecar.kill()
    sidecar.start_and_stream()
    service.await_published()
    service.assert_exactly_once(oracle, "items", "notes")
    ends = _assert_bracketed(service, oracle.expected())
    assert [end["part"] for end in ends] == [None] * 3


@pytest.mark.parametrize("split_after", ["1us", "100us"] if LONG else ["drawn"])
def test_a_split_transaction_is_whole_and_its_counters_run_on_wherever_it_was_killed(
    make_service: Callable[..., Service], split_after: str
) -> None:
    draw = chance("split", split_after)
    drawn = draw.choice(["1us", "100us"]) if split_after == "drawn" else split_after
    service = make_service(TABLES + _TOPIC)
    sidecar = service.sidecar
    service.sql(*_TABLES, "CREATE PUBLICATION cdc FOR ALL TABLES")
    sidecar.start_and_stream()
    oracle = service.oracle()
    sidecar.kill()
    _write_wide(service)
    service.sql("UPDATE items SET n = -n WHERE id <= 100")
    split = {"CDC_SIDECAR__PUBLISH__SPLIT_AFTER": f'"{drawn}"'}
    for hit in draw.sample(_HITS, len(_HITS) if LONG else 4):
        sidecar.start(environment={**split, VARIABLE: f"{hit}=kill"})
        assert sidecar.await_exit() == -9, f"{hit} was never reached"
    sidecar.start(environment=split)
    sidecar.await_phase("streaming")
    service.await_published()
    service.assert_exactly_once(oracle, "items", "notes")
    whole, small = _assert_bracketed(service, oracle.expected())
    parts = [event["part"] for event in sidecar.events("transaction_split")]
    assert whole["part"] == max(parts) + 1
    assert small["part"] is None
    blocks = _blocks(service, "items", "notes")[whole["id"]]
    assert sorted(order for orders in blocks.values() for order, _ in orders) == list(
        range(1, whole["event_count"] + 1)
    )
    for orders in blocks.values():
        assert [number for _, number in sorted(orders)] == list(range(1, len(orders) + 1))


def _write_wide(service: Service) -> None:
    """Write one transaction of about eleven parts. The rows of a page share one LSN."""
    with psycopg.connect(service.dsn) as connection, connection.cursor() as cursor:
        for start in range(0, 10_000, 2000):
            with cursor.copy("COPY items FROM STDIN") as copy:
                for number in range(start, start + 2000):
                    copy.write_row((number, number, "x" * 800))
            cursor.execute(
                "INSERT INTO notes SELECT n FROM generate_series(%s::int, %s::int) n",
                (start, start + 99),
            )


def _blocks(service: Service, *tables: str) -> dict[str, dict[str, list[tuple[int, int]]]]:
    """Return the total order and the order in the table of each event, by transaction and topic."""
    reader = read_registry(service.kafka, service.name)
    found: dict[str, dict[str, list[tuple[int, int]]]] = {}
    for (topic, _), records in read_topics(service.kafka, service.topics(*tables)).items():
        for _, value, _ in records:
            block = reader.read(value)["transaction"] if value else None
            if block:
                orders = (block["total_order"], block["data_collection_order"])
                found.setdefault(block["id"], {}).setdefault(topic, []).append(orders)
    return found
