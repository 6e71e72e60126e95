"""BEGIN and END bracket a transaction's events, count them, and are the same on a replay."""

import json
from typing import Any

import fastavro
import pytest

from cdc_sidecar.errors import RecordTooLarge
from cdc_sidecar.events import batching
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.events.transaction_metadata import PARTITION
from cdc_sidecar.postgres.lsn import Lsn
from tests.unit import shop, wire
from tests.unit.shop import ORDER_ROW, ORDERS, OUTBOX, TEXT, Shop, layout, transaction

_TOPIC = "shop.transaction"
_ITEMS = layout("items", {"id": TEXT}, key=("id",), oid=16390)
_DESCRIBE = (wire.relation(ORDERS.relation), wire.relation(_ITEMS.relation))
_ORDER = wire.insert(ORDERS.oid, ORDER_ROW)
_ITEM = wire.insert(_ITEMS.oid, ["a"])
_TIME = wire.COMMIT_TIME // 1000


def _session(position: Position | None = None, **settings: Any) -> Shop:  # noqa: ANN401 - settings of a session
    return Shop(
        *(ORDERS, _ITEMS, OUTBOX),
        tables=[shop.table(), shop.table("public.items")],
        outboxes=[shop.outbox()],
        prefixes=("audit",),
        transaction_metadata=True,
        position=position,
        **settings,
    )


def _bound(status: str, count: int | None, **collections: int) -> dict[str, Any]:
    counted = [
        {"data_collection": f"public.{name}", "event_count": number}
        for name, number in collections.items()
    ]
    return {
        "status": status,
        "id": "746:5000",
        "event_count": count,
        "data_collections": counted if count else None,
        "ts_ms": _TIME,
        "end_lsn": None if status == "BEGIN" else 5050,
        "snapshot_range": None,
        "part": None,
    }


def test_begin_stands_before_the_first_event_and_end_with_the_counts_after_the_last() -> None:
    published = _session().transaction(*_DESCRIBE, _ITEM, _ORDER, _ITEM, final_lsn=5000, xid=746)
    tables = [f"shop.public.{name}" for name in ("items", "orders", "items")]
    assert published.topics == [_TOPIC, *tables, _TOPIC]
    assert published.values[0] == _bound("BEGIN", None)
    assert published.values[-1] == _bound("END", 3, items=2, orders=1)
    assert published.keys[0] == published.keys[-1] == {"id": "746:5000"}
    assert [r.partition for r in published.records if r.topic == _TOPIC] == [PARTITION] * 2
    schemas = {key for batch in published.batches for key, _ in batch.schemas}
    assert {f"{_TOPIC}-key/1".encode(), f"{_TOPIC}-value/1".encode()} <= schemas


def test_the_schemas_are_legal_avro() -> None:
    session = _session()
    session.transaction(*_DESCRIBE, _ITEM)
    for subject in (f"{_TOPIC}-key", f"{_TOPIC}-value"):
        (version,) = session.subjects.versions(subject)
        fastavro.parse_schema(json.loads(version.schema))


def test_tombstones_are_not_counted_and_both_halves_of_a_changed_key_are() -> None:
    moved = wire.update(ORDERS.oid, ORDER_ROW, key=("9", None, None, None))
    published = _session().transaction(*_DESCRIBE, moved, final_lsn=5000, xid=746)
    assert published.values[-1] == _bound("END", 2, orders=2)
    assert len(published.values) == 5


@pytest.mark.parametrize(
    "changes",
    [
        (),
        (wire.logical_message("noise", b"", 9, transactional=True),),
        (
            wire.relation(OUTBOX.relation),
            wire.insert(OUTBOX.oid, ("1", "order", "7", "paid", "{}")),
        ),
    ],
    ids=["empty", "not captured", "outbox"],
)
def test_a_transaction_without_numbered_events_has_neither_record(
    changes: tuple[bytes, ...],
) -> None:
    session = _session()
    session.feed(*transaction(*changes, final_lsn=5000))
    batches = session.assembler.collect()
    assert _TOPIC not in [record.topic for batch in batches for record in batch.records]


def test_where_nothing_of_ours_happens_a_checkpoint_tells_how_far_the_stream_is() -> None:
    published = _session().transaction(final_lsn=5000)
    assert published.topics == [_TOPIC]
    (end,) = published.values
    assert (end["status"], end["id"], end["event_count"]) == ("END", "0:5050", 0)
    assert (end["end_lsn"], end["data_collections"]) == (5050, [])
    assert published.keys == [{"id": "0:5050"}]


def test_a_message_outside_of_transactions_has_neither_record() -> None:
    lone = wire.logical_message("audit", b"", 900, transactional=False)
    published = _session().publish(wire.frame(900, lone))
    assert published.topics == ["shop.message"]


def test_in_parts_begin_leads_the_first_part_with_an_event_and_end_ends_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "PART_BYTES", 1)
    session = _session()
    batches = []
    box = wire.insert(OUTBOX.oid, ("1", "order", "7", "paid", "{}"))
    for frame in transaction(*_DESCRIBE, wire.relation(OUTBOX.relation), box, _ITEM, _ITEM):
        session.feed(frame)
        batches += session.assembler.collect()
    assert [[record.topic for record in batch.records] for batch in batches] == [
        ["outbox.event.order"],
        [_TOPIC, "shop.public.items"],
        ["shop.public.items"],
        [],
    ]
    ends = [batch.end for batch in batches]
    assert ends[:-1] == [None] * 3
    assert ends[-1] is not None
    assert session.reader.read(ends[-1].record(3).value or b"")["part"] == 3
    assert session.reader.read(ends[-1].record(None).value or b"")["part"] is None


def test_the_rest_of_a_split_transaction_has_no_second_begin_and_its_end_counts_all() -> None:
    partial = Partial(Lsn(5000), 746, Lsn(4960), 0, 1, total_order=1, orders={"public.items": 1})
    session = _session(Position(Lsn(110), partial))
    published = session.transaction(*_DESCRIBE, _ITEM, _ORDER, final_lsn=5000, xid=746)
    assert published.topics == ["shop.public.orders", _TOPIC]
    assert published.values[-1] == _bound("END", 2, items=1, orders=1)
    assert published.batches[-1].end is not None, "only the publisher knows the part"


def test_a_split_transaction_whose_every_change_is_published_still_ends() -> None:
    partial = Partial(Lsn(5000), 746, Lsn(4990), 0, 1, total_order=1, orders={"public.items": 1})
    session = _session(Position(Lsn(110), partial))
    published = session.transaction(*_DESCRIBE, _ITEM, final_lsn=5000, xid=746)
    assert published.values == [_bound("END", 1, items=1)]


def test_without_the_topic_there_are_no_such_records() -> None:
    session = Shop(_ITEMS, tables=[shop.table("public.items")])
    published = session.transaction(_DESCRIBE[1], _ITEM)
    assert published.topics == ["shop.public.items"]


def test_an_end_too_large_for_its_topic_is_refused_and_nothing_of_its_transaction_leaves() -> None:
    many = [layout(f"{'long' * 12}{n}", {"id": TEXT}, key=("id",), oid=20000 + n) for n in range(9)]
    session = Shop(
        *(_ITEMS, *many),
        tables=[shop.table("public.*")],
        transaction_metadata=True,
        max_message_bytes=1000,
    )
    session.feed(*transaction(_DESCRIBE[1], _ITEM, final_lsn=2000))
    changes = [m for t in many for m in (wire.relation(t.relation), wire.insert(t.oid, ["a"]))]
    with pytest.raises(RecordTooLarge, match=_TOPIC):
        session.feed(*transaction(*changes))
    published = shop.Published(session.batches(), session.reader)
    assert published.topics == [_TOPIC, "shop.public.items", _TOPIC]
    assert published.batches[-1].position == Position(Lsn(2050))
