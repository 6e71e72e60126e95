"""Which tables have a snapshot, and which have one again."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.acceptance.conftest import MARKS, Service
from tests.acceptance.events import read_registry, read_topics
from tests.acceptance.snapshot_oracle import Compared, Seen, assert_snapshots, read_seen
from tests.acceptance.test_snapshot import INITIAL, ITEMS, await_snapshots

_BLOCK = '\n[[tables]]\nname = "public.{}"\ncolumns = ["*"]\n{}\n'
_TRANSACTIONS = "[transactions]\ntopic = true\n"
_NAMES = ("items", "later", "skipped")


def _rows_by_kind(seen: list[Seen]) -> Counter[str]:
    return Counter(event.snapshot for event in seen if event.op == "r")


def read_ends(service: Service) -> dict[int, Any]:
    """Return what END says of each transaction, by its commit LSN."""
    reader = read_registry(service.kafka, service.name)
    (places,) = [
        records
        for records in read_topics(service.kafka, [f"{service.name}.transaction"]).values()
        if records
    ]
    bounds = [reader.read(value or b"") for _, value, _ in places]
    return {int(b["id"].split(":")[-1]): b for b in bounds if b["status"] == "END"}


def test_a_larger_generation_and_a_later_table_are_snapshots_beside_the_stream(
    make_service: Callable[..., Service],
) -> None:
    first, later, skipped = _NAMES
    blocks = _BLOCK.format(first, "generation = 1") + _BLOCK.format(skipped, "snapshot = false")
    service = make_service(blocks + MARKS + _TRANSACTIONS, **INITIAL)
    service.sql(*ITEMS, *(f"CREATE TABLE {name} (id int PRIMARY KEY)" for name in (later, skipped)))
    oracle = service.oracle()
    service.sql("INSERT INTO items SELECT k, k, 'x' FROM generate_series(1, 500) k")
    service.sql(*(f"INSERT INTO {name} VALUES (1), (2)" for name in (later, skipped)))
    service.sidecar.start_and_stream()
    await_snapshots(service)
    assert service.sidecar.terminate() == 0
    service.reconfigure("generation = 1", "generation = 2")
    with service.sidecar.config.open("a") as config:
        config.write(_BLOCK.format(later, ""))
    service.sql("UPDATE items SET n = 0 WHERE id <= 10", "DELETE FROM items WHERE id = 500")
    service.sidecar.start_and_stream()
    await_snapshots(service, 3)
    service.await_published()
    items, added = assert_snapshots(service, oracle, Compared(first), Compared(later))
    assert _rows_by_kind(items) == {"true": 500, "incremental": 499}
    assert _rows_by_kind(added) == {"incremental": 2}
    assert not read_seen(service, Compared(skipped))[0]
    ends = read_ends(service)
    counted = Counter(event.commit_lsn for event in items + added)
    assert len(counted) > 5
    for lsn, count in counted.items():
        assert ends[lsn]["event_count"] == count
