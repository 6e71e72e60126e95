"""The initial snapshot: rows that are older than the slot are sent beside the stream."""

import json
import signal
from collections import Counter
from collections.abc import Callable

import pytest

from cdc_sidecar.failpoints import VARIABLE, Failpoint
from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.events import read_registry, read_topics
from tests.acceptance.own_postgres import metric
from tests.acceptance.snapshot_oracle import assert_snapshot
from tests.acceptance.test_check import faults_of
from tests.acceptance.test_exactly_once import OF_OUTBOXES
from tests.waiting import await_true

INITIAL = {'mode = "never"': 'mode = "initial"\nchunk_rows = 200'}
ITEMS = (
    "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)",
    "CREATE PUBLICATION cdc FOR ALL TABLES",
)


def _rows(count: int) -> str:
    label = "E'a tab\\t and a backslash \\\\ ' || n"
    return f"INSERT INTO items SELECT n, n, {label} FROM generate_series(1, {count}) n"


def await_snapshots(service: Service, tables: int = 1, deadline: float = 60.0) -> None:
    """Wait until the snapshots of some tables have ended."""
    await_true(
        lambda: len(service.sidecar.events("snapshot_completed")) >= tables,
        deadline=deadline,
        what="the snapshot ended",
    )


def test_rows_older_than_the_slot_are_sent_once(make_service: Callable[..., Service]) -> None:
    service = make_service(TABLES + MARKS, **INITIAL)
    service.sql(*ITEMS)
    oracle = service.oracle()
    service.sql(_rows(1000))
    service.sidecar.start_and_stream()
    await_snapshots(service)
    service.sql("UPDATE items SET n = 0 WHERE id % 10 = 0")
    service.await_published()
    seen = assert_snapshot(service, oracle, "items")
    rows = [event for event in seen if event.op == "r"]
    assert len(rows) == 1000
    snapshot = json.loads(service.sidecar.get("/status")[1])["snapshot"]
    assert (snapshot["running"], snapshot["phases"]) == (False, {"done": 1})
    assert snapshot["tables"][0]["rows"] == 1000
    assert metric(service.sidecar, 'snapshot_tables{state="done"}') == 1
    assert metric(service.sidecar, "snapshot_oldest_xmin_seconds") == 0
    assert {event.snapshot for event in rows} == {"true"}
    assert {event.snapshot for event in seen if event.op == "u"} == {"false"}
    service.sidecar.process.send_signal(signal.SIGTERM)
    assert service.sidecar.await_exit() == 0
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (5000, 1, 'new')")
    service.await_published()
    assert len(assert_snapshot(service, oracle, "items")) == len(seen) + 1


_POINTS = list(Failpoint)[list(Failpoint).index(Failpoint.AFTER_FENCE) :]


@pytest.mark.parametrize(
    "failpoint", [point for point in _POINTS if point not in OF_OUTBOXES], ids=str
)
def test_a_sidecar_killed_at_any_failpoint_goes_on_where_it_was(
    make_service: Callable[..., Service], failpoint: Failpoint
) -> None:
    service = make_service(TABLES + MARKS, **INITIAL)
    service.sql(*ITEMS)
    oracle = service.oracle()
    service.sql(_rows(2000))
    hit = 1 if failpoint is Failpoint.AFTER_FENCE else 4
    service.sidecar.start(environment={VARIABLE: f"{failpoint.value}#{hit}=kill"})
    assert service.sidecar.await_exit() == -9, "the failpoint was never reached"
    service.sql("UPDATE items SET n = 0 WHERE id % 3 = 0", "DELETE FROM items WHERE id % 7 = 0")
    service.sidecar.start_and_stream()
    await_snapshots(service)
    service.await_published()
    seen = assert_snapshot(service, oracle, "items")
    # an updated row may have moved to a page that was not read yet
    ids = Counter(int(json.loads(event.key)["id"]) for event in seen if event.op == "r")
    assert all(number % 3 == 0 for number, times in ids.items() if times > 1)
    assert ids.keys() >= {number for number in range(1, 2001) if number % 3 and number % 7}


def test_check_names_tables_whose_rows_cannot_be_told_apart(
    make_service: Callable[..., Service],
) -> None:
    more = "unkeyed = true\n"
    service = make_service(TABLES + more + MARKS, **INITIAL)
    service.sql(
        *ITEMS,
        "CREATE TABLE lines (text text)",
        "CREATE TABLE notes (text text)",
        "ALTER TABLE notes REPLICA IDENTITY FULL",
        "INSERT INTO lines VALUES ('a'), ('a'), ('b')",
    )
    fault = next(each for each in faults_of(service) if each["code"] == "CDC-110")
    assert "public.lines" in fault["fact"]
    assert "public.notes" in fault["fact"]
    assert "public.items" not in fault["fact"]
    assert 'snapshot = "duplicates"' in fault["hint"]
    service.reconfigure("unkeyed = true", 'unkeyed = true\nsnapshot = "duplicates"')
    assert [fault for fault in faults_of(service) if fault["code"] == "CDC-110"] == []
    service.sidecar.start_and_stream()
    await_snapshots(service, tables=3)
    service.await_published()
    topics, reader = service.topics("lines"), read_registry(service.kafka, service.name)
    records = [each for place in read_topics(service.kafka, topics).values() for each in place]
    texts = sorted(reader.read(value)["after"]["text"] for _, value, _ in records if value)
    assert texts == ["a", "a", "b"]
