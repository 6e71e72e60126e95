"""Readers are told by records what becomes of each snapshot."""

from collections.abc import Callable
from typing import Any

from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.events import read_registry, read_topics
from tests.acceptance.test_snapshot import INITIAL, ITEMS, await_snapshots
from tests.waiting import await_true

_TOLD = "[notifications]\ntopic = true\n"


def _notifications(service: Service) -> list[dict[str, Any]]:
    """Return the notifications in order; all must be in one partition, each with its id as key."""
    places = read_topics(service.kafka, [f"{service.name}.notification"])
    reader = read_registry(service.kafka, service.name)
    (records,) = [records for records in places.values() if records]
    told = [(reader.read(key or b""), reader.read(value or b"")) for key, value, _ in records]
    assert all(key == {"id": value["id"]} for key, value in told)
    return [value for _, value in told]


def test_each_step_of_a_snapshot_is_told_with_its_rows(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES + MARKS + _TOLD, **INITIAL)
    service.sql(*ITEMS, "CREATE TABLE nothing (id int PRIMARY KEY)")
    service.sql("INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 500) n")
    service.sidecar.start_and_stream()
    await_snapshots(service, 2)
    service.await_published()
    told = _notifications(service)
    of_items = [each for each in told if "public.items" in each["additional_data"].values()]
    types = [each["type"] for each in of_items]
    assert (types[0], types[-1]) == ("STARTED", "TABLE_SCAN_COMPLETED")
    assert set(types[1:-1]) == {"IN_PROGRESS"}
    assert of_items[-1]["additional_data"] == {
        "connector_name": service.name,
        "data_collections": "public.items",
        "scanned_collection": "public.items",
        "total_rows_scanned": "500",
        "status": "SUCCEEDED",
    }
    assert {each["aggregate_type"] for each in told} == {"Initial Snapshot"}
    assert [each["type"] for each in told[len(of_items) :]] == [
        *("STARTED", "TABLE_SCAN_COMPLETED", "COMPLETED")
    ]
    assert told[-2]["additional_data"]["status"] == "EMPTY"


def test_what_a_person_does_to_a_snapshot_is_told(make_service: Callable[..., Service]) -> None:
    slowly = {'mode = "never"': 'mode = "initial"\nchunk_rows = 50\nmax_rows_per_second = 100'}
    service = make_service(TABLES + MARKS + _TOLD, **slowly)
    service.sql(*ITEMS, "INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 6000) n")
    service.sidecar.start_and_stream()
    for action in ("pause", "resume", "cancel"):
        run = service.sidecar.run(f"snapshot {action}")
        assert run.returncode == 0, run.stderr
    service.await_published()
    told = [each["type"] for each in _notifications(service)]
    asked = ["PAUSED", "RESUMED", "STOPPED"]
    await_true(lambda: [each for each in told if each in asked] == asked, what="all are told")
