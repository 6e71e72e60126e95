"""Frames become events: each message of the stream, in order, counted and complete."""

import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_sidecar.errors import (
    LayoutRefused,
    ProtocolViolation,
    RecordTooLarge,
    SidecarError,
    TruncateRefused,
    Unrepresentable,
)
from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.position import Position
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.pgoutput import UNCHANGED, ReplicaIdentity
from tests.unit import shop, wire
from tests.unit.shop import BIGINT, ORDER_ROW, ORDERS, TEXT, Shop, layout, transaction

_OID = ORDERS.oid
_TOPIC = "shop.public.orders"
_DESCRIBE = wire.relation(ORDERS.relation)
_INSERT = wire.insert(_OID, ORDER_ROW)
_ROW = {"id": 1, "status": "paid", "total": "12.50", "placed_at": "2024-02-29 10:11:12.5+00"}
_NULLS = {"status": None, "total": None, "placed_at": None}
_LOGS = layout("logs", {"what": TEXT}, oid=16390, identity=ReplicaIdentity.FULL)


def _orders(**settings: object) -> Shop:
    return Shop(ORDERS, tables=[shop.table("public.orders", **settings)])


def _events_of(op: str) -> Count:
    return Count(Counted.EVENTS, "public.orders", op)


def _key(number: int) -> dict[str, int]:
    return {"id": number}


def _events(values: list[Any]) -> list[tuple[Any, ...]]:
    """Return op, before and after of each event; None for a tombstone."""
    return [value and (value["op"], value["before"], value["after"]) for value in values]


# --- rows


def test_an_insert_is_a_c_with_everything_the_contract_promises() -> None:
    published = _orders().transaction(_DESCRIBE, _INSERT, final_lsn=5000, xid=746)
    assert published.topics == [_TOPIC]
    assert published.keys == [_key(1)]
    assert published.values == [
        {
            "before": None,
            "after": _ROW,
            "source": {
                "version": "1.2.3",
                "connector": "postgresql",
                "name": "shop",
                "ts_ms": wire.COMMIT_TIME // 1000,
                "snapshot": "false",
                "db": "shopdb",
                "sequence": '["5000","4980"]',
                "ts_us": wire.COMMIT_TIME,
                "ts_ns": wire.COMMIT_TIME * 1000,
                "schema": "public",
                "table": "orders",
                "txId": 746,
                "lsn": 4980,
                "xmin": None,
                "origin": None,
                "origin_lsn": None,
                "commit_lsn": 5000,
            },
            "transaction": {"id": "746:5000", "total_order": 1, "data_collection_order": 1},
            "op": "c",
            "ts_ms": shop.RECEIVED // 1000,
            "ts_us": shop.RECEIVED,
            "ts_ns": shop.RECEIVED * 1000,
            "unchanged": [],
        }
    ]
    assert published.counts == {_events_of("c"): 1}


def test_an_update_without_an_old_row_is_a_u_without_before() -> None:
    published = _orders().transaction(_DESCRIBE, wire.update(_OID, ORDER_ROW))
    assert _events(published.values) == [("u", None, _ROW)]
    assert published.keys == [_key(1)]


def test_an_update_with_an_old_row_is_a_u_with_before() -> None:
    full = layout(
        "orders",
        dict(zip(_ROW, ORDERS.facts.types, strict=True)),
        key=("id",),
        identity=ReplicaIdentity.FULL,
    )
    session = Shop(full, tables=[shop.table()])
    old = ("1", "new", None, None)
    published = session.transaction(
        wire.relation(full.relation), wire.update(_OID, ORDER_ROW, old=old)
    )
    assert _events(published.values) == [("u", {"id": 1, **_NULLS, "status": "new"}, _ROW)]


def test_an_untouched_toasted_column_is_filled_from_the_old_row() -> None:
    update = wire.update(_OID, ("1", UNCHANGED, None, None), old=ORDER_ROW)
    (value,) = _orders().transaction(_DESCRIBE, update).values
    assert value["after"] == {"id": 1, **_NULLS, "status": "paid"}
    assert value["unchanged"] == []


def test_an_old_key_of_equal_value_is_no_changed_key() -> None:
    update = wire.update(_OID, ORDER_ROW, key=("1", None, None, None))
    published = _orders().transaction(_DESCRIBE, update)
    assert _events(published.values) == [("u", {"id": 1, **_NULLS}, _ROW)]


def test_a_changed_key_is_a_d_a_tombstone_and_a_c() -> None:
    update = wire.update(_OID, ORDER_ROW, key=("9", None, None, None))
    published = _orders().transaction(_DESCRIBE, update)
    assert _events(published.values) == [
        ("d", {"id": 9, **_NULLS}, None),
        None,
        ("c", None, _ROW),
    ]
    assert published.keys == [_key(9), _key(9), _key(1)]
    orders = [value["transaction"]["total_order"] for value in published.values if value]
    assert orders == [1, 2]
    assert published.counts == {_events_of("d"): 1, _events_of("c"): 1}


def test_a_changed_key_keeps_its_unchanged_columns_marked() -> None:
    update = wire.update(_OID, ("1", UNCHANGED, None, None), key=("9", None, None, None))
    published = _orders().transaction(_DESCRIBE, update)
    assert published.values[2]["op"] == "c"
    assert published.values[2]["unchanged"] == ["status"]


def test_a_delete_is_a_d_and_a_tombstone() -> None:
    published = _orders().transaction(_DESCRIBE, wire.delete(_OID, key=("1", None, None, None)))
    assert _events(published.values) == [("d", {"id": 1, **_NULLS}, None), None]
    assert published.keys == [_key(1), _key(1)]
    assert published.counts == {_events_of("d"): 1}


def test_without_tombstones_a_delete_is_a_d_alone() -> None:
    published = _orders(tombstones=False).transaction(
        _DESCRIBE, wire.delete(_OID, key=("1", None, None, None))
    )
    assert [value["op"] for value in published.values] == ["d"]


def test_a_table_without_a_key_has_null_keys_and_no_tombstones() -> None:
    session = Shop(_LOGS, tables=[shop.table("public.logs", unkeyed=True)])
    published = session.transaction(
        wire.relation(_LOGS.relation),
        wire.insert(_LOGS.oid, ["a"]),
        wire.update(_LOGS.oid, ["b"], old=["a"]),
        wire.delete(_LOGS.oid, old=["b"]),
    )
    assert [value["op"] for value in published.values] == ["c", "u", "d"]
    assert published.keys == [None, None, None]
    assert published.values[1]["before"] == {"what": "a"}


def test_an_update_that_left_a_toasted_column_untouched_marks_it_unchanged() -> None:
    update = wire.update(_OID, ("1", UNCHANGED, UNCHANGED, None))
    published = _orders().transaction(_DESCRIBE, update)
    (value,) = published.values
    assert value["after"] == {"id": 1, **_NULLS}
    assert value["unchanged"] == ["status", "total"]
    assert published.counts == {
        _events_of("u"): 1,
        Count(Counted.UNCHANGED, "public.orders", "status"): 1,
        Count(Counted.UNCHANGED, "public.orders", "total"): 1,
    }


def test_an_insert_that_a_row_filter_made_of_an_update_marks_values_that_were_not_sent() -> None:
    insert = wire.insert(_OID, ("1", UNCHANGED, None, None))
    (value,) = _orders().transaction(_DESCRIBE, insert).values
    assert (value["op"], value["unchanged"]) == ("c", ["status"])


def test_unchanged_columns_have_the_names_of_their_fields() -> None:
    session = _orders(column={"status": {"rename": "état"}})
    update = wire.update(_OID, ("1", UNCHANGED, None, None))
    (value,) = session.transaction(_DESCRIBE, update).values
    assert value["unchanged"] == ["_x00E9_tat"]
    assert value["after"]["_x00E9_tat"] is None


# --- truncate


def test_a_truncate_goes_to_every_partition_with_a_null_key() -> None:
    published = _orders().transaction(_DESCRIBE, wire.truncate(_OID))
    assert [record.topic for record in published.records] == [_TOPIC] * shop.PARTITIONS
    assert [record.partition for record in published.records] == list(range(shop.PARTITIONS))
    assert published.keys == [None] * shop.PARTITIONS
    assert len({record.value for record in published.records}) == 1
    assert _events(published.values[:1]) == [("t", None, None)]
    assert published.counts == {_events_of("t"): 1}


def test_every_table_of_a_truncate_is_an_event_of_its_own() -> None:
    session = Shop(ORDERS, _LOGS, tables=[shop.table(), shop.table("public.logs", unkeyed=True)])
    published = session.transaction(
        _DESCRIBE, wire.relation(_LOGS.relation), wire.truncate(_OID, _LOGS.oid)
    )
    seen = {
        (value["source"]["table"], value["transaction"]["total_order"])
        for value in published.values
    }
    assert seen == {("orders", 1), ("logs", 2)}


def test_a_truncate_can_halt_and_says_where() -> None:
    with pytest.raises(TruncateRefused) as refused:
        _orders(truncate="halt").transaction(_DESCRIBE, wire.truncate(_OID))
    assert refused.value.fact == "public.orders"
    assert "transaction 700" in refused.value.where


# --- ordinals


def test_events_are_counted_in_total_and_for_each_table() -> None:
    session = Shop(ORDERS, _LOGS, tables=[shop.table(), shop.table("public.logs", unkeyed=True)])
    published = session.transaction(
        _DESCRIBE,
        wire.relation(_LOGS.relation),
        _INSERT,
        wire.insert(_LOGS.oid, ["a"]),
        wire.delete(_OID, key=("1", None, None, None)),
        wire.insert(_LOGS.oid, ["b"]),
        _INSERT,
    )
    blocks = [value["transaction"] for value in published.values if value]
    assert [block["total_order"] for block in blocks] == [1, 2, 3, 4, 5]
    assert [block["data_collection_order"] for block in blocks] == [1, 1, 2, 2, 3]


def test_every_transaction_counts_from_one_and_carries_its_own_id() -> None:
    session = _orders()
    frames = transaction(_DESCRIBE, _INSERT, final_lsn=5000, xid=7)
    frames += transaction(_INSERT, _INSERT, final_lsn=6000, xid=9)
    blocks = [value["transaction"] for value in session.publish(*frames).values]
    assert [(block["id"], block["total_order"]) for block in blocks] == [
        ("7:5000", 1),
        ("9:6000", 1),
        ("9:6000", 2),
    ]


def test_each_change_carries_its_own_lsn() -> None:
    session = _orders()
    lsns = [4999, 99_999, 99_999, 100_000, 2**63 - 10]
    frames = [wire.frame(1, wire.begin(2**63 - 5)), wire.frame(0, _DESCRIBE)]
    frames += [wire.frame(lsn, _INSERT) for lsn in lsns]
    frames += [wire.frame(2**63 - 5, wire.commit(2**63 - 5, 2**63 - 1))]
    sources = [value["source"] for value in session.publish(*frames).values]
    assert [source["lsn"] for source in sources] == lsns
    assert [source["sequence"] for source in sources] == [
        f'["{2**63 - 5}","{lsn}"]' for lsn in lsns
    ]


def test_the_outer_times_are_those_of_the_begin_for_the_whole_transaction() -> None:
    moments = iter([1_000_001, 2_000_002])
    session = Shop(ORDERS, tables=[shop.table()], clock=lambda: next(moments))
    frames = transaction(_DESCRIBE, _INSERT, _INSERT, final_lsn=5000)
    frames += transaction(_INSERT, final_lsn=6000)
    values = session.publish(*frames).values
    assert [value["ts_us"] for value in values] == [1_000_001, 1_000_001, 2_000_002]
    assert (values[0]["ts_ms"], values[0]["ts_ns"]) == (1000, 1_000_001_000)


def test_the_origin_of_a_replicated_transaction_is_named() -> None:
    published = _orders().transaction(wire.origin(77, "elsewhere"), _DESCRIBE, _INSERT)
    source = published.values[0]["source"]
    assert (source["origin"], source["origin_lsn"]) == ("elsewhere", 77)


def test_an_origin_belongs_to_its_transaction_alone() -> None:
    session = _orders()
    session.transaction(wire.origin(77, "elsewhere"), _DESCRIBE, _INSERT, final_lsn=5000)
    published = session.transaction(_INSERT, final_lsn=6000)
    assert published.values[0]["source"]["origin"] is None


# --- logical messages


def _message(prefix: str = "audit", lsn: int = 4242, *, transactional: bool = True) -> bytes:
    return wire.logical_message(prefix, b"\x00hi", lsn, transactional=transactional)


def test_a_transactional_message_is_an_m_in_its_place_among_the_rows() -> None:
    session = Shop(ORDERS, tables=[shop.table()], prefixes=("audit",))
    published = session.transaction(_DESCRIBE, _INSERT, _message(), _INSERT)
    assert published.topics == [_TOPIC, "shop.message", _TOPIC]
    assert published.keys[1] == {"prefix": "audit"}
    value = published.values[1]
    assert list(value) == ["op", "ts_ms", "source", "transaction", "message"]
    assert (value["op"], value["ts_ms"]) == ("m", shop.RECEIVED // 1000)
    assert value["message"] == {"prefix": "audit", "content": "006869"}
    assert value["transaction"] == {
        "id": "700:5000",
        "total_order": 2,
        "data_collection_order": 1,
    }
    assert published.counts[Count(Counted.EVENTS, "message", "m")] == 1


def test_a_message_outside_of_transactions_stands_at_its_own_lsn() -> None:
    session = Shop(prefixes=("audit",))
    published = session.publish(wire.frame(4242, _message(transactional=False)))
    (value,) = published.values
    assert value["transaction"] is None
    assert (value["source"]["commit_lsn"], value["source"]["lsn"]) == (4242, 4242)
    assert value["source"]["txId"] is None
    assert published.batches[0].position == Position(Lsn(4242))


def test_a_message_with_another_prefix_is_counted_and_moves_the_position() -> None:
    session = Shop(prefixes=("audit",))
    published = session.publish(wire.frame(4242, _message("noise", transactional=False)))
    assert published.records == []
    assert published.counts == {Count(Counted.IGNORED, "message"): 1}
    assert published.batches[0].position == Position(Lsn(4242))


def test_a_message_that_the_position_covers_is_skipped() -> None:
    session = Shop(prefixes=("audit",), position=Position(Lsn(4242)))
    assert session.publish(wire.frame(4242, _message(transactional=False))).batches == []


def test_a_message_before_its_surrounding_transaction_hides_nothing_of_it() -> None:
    session = Shop(ORDERS, tables=[shop.table()], prefixes=("audit",))
    lone = wire.frame(5000, _message(lsn=5000, transactional=False))
    frames = [lone, *transaction(_DESCRIBE, _INSERT, final_lsn=5000)]
    assert session.publish(*frames).topics == ["shop.message", _TOPIC]


# --- tables that are not configured, layouts that change


def test_a_table_that_is_not_configured_is_counted_and_dropped() -> None:
    session = Shop(tables=[shop.table("public.other")])
    published = session.transaction(
        _DESCRIBE,
        _INSERT,
        wire.update(_OID, ORDER_ROW),
        wire.delete(_OID, key=ORDER_ROW),
        wire.truncate(_OID),
    )
    assert published.records == []
    assert published.counts == {Count(Counted.IGNORED, "public.orders"): 4}
    assert session.asked == []


def test_a_relation_that_is_sent_again_asks_and_registers_nothing_anew() -> None:
    session = _orders()
    first = session.transaction(_DESCRIBE, _INSERT, final_lsn=5000)
    again = session.transaction(_DESCRIBE, _INSERT, final_lsn=6000)
    assert session.asked == [ORDERS.relation]
    assert [len(batch.schemas) for batch in first.batches] == [3]
    assert [len(batch.schemas) for batch in again.batches] == [0]
    assert shop.schema_id(again.records[0].value) == shop.schema_id(first.records[0].value)


_WIDER = layout(
    "orders",
    dict(zip(_ROW, ORDERS.facts.types, strict=True)) | {"note": TEXT},
    key=("id",),
)


def test_a_changed_layout_is_registered_before_the_row_that_needs_it() -> None:
    session = Shop(ORDERS, _WIDER, tables=[shop.table()])
    published = session.transaction(
        _DESCRIBE,
        _INSERT,
        wire.relation(_WIDER.relation),
        wire.insert(_OID, (*ORDER_ROW, "hello")),
    )
    old, new = published.values
    assert "note" not in old["after"]
    assert new["after"]["note"] == "hello"
    versions = session.subjects.versions(f"{_TOPIC}-value")
    ids = [shop.schema_id(record.value) for record in published.records]
    assert ids == [version.id for version in versions]
    assert [key for key, _ in published.batches[0].schemas if key.endswith(b"-value/2")]
    assert [value["transaction"]["data_collection_order"] for value in (old, new)] == [1, 2]
    assert len(session.subjects.versions(f"{_TOPIC}-key")) == 1


def test_a_layout_that_comes_back_has_its_old_schema() -> None:
    session = Shop(ORDERS, _WIDER, tables=[shop.table()])
    session.transaction(_DESCRIBE, _INSERT, final_lsn=5000)
    wider = wire.insert(_OID, (*ORDER_ROW, None))
    session.transaction(wire.relation(_WIDER.relation), wider, final_lsn=6000)
    published = session.transaction(_DESCRIBE, _INSERT, final_lsn=7000)
    first = session.subjects.versions(f"{_TOPIC}-value")[0]
    assert shop.schema_id(published.records[0].value) == first.id
    assert published.batches[0].schemas == []
    assert session.asked == [ORDERS.relation, _WIDER.relation]


def test_a_layout_that_cannot_be_captured_is_refused_at_its_first_row() -> None:
    keyless = layout("orders", {"status": TEXT})
    session = Shop(ORDERS, keyless, tables=[shop.table()])
    frames = transaction(
        _DESCRIBE, _INSERT, wire.relation(keyless.relation), wire.insert(_OID, ["x"])
    )
    session.feed(*frames[:-2])
    with pytest.raises(LayoutRefused) as refused:
        session.feed(frames[-2])
    assert "has no key" in refused.value.fact
    assert "table public.orders" in refused.value.where
    assert "transaction 700" in refused.value.where


@pytest.mark.parametrize("captured", [True, False])
def test_a_captured_table_renamed_to_an_unknown_name_is_refused(*, captured: bool) -> None:
    renamed = layout("orders_old", dict(zip(_ROW, ORDERS.facts.types, strict=True)), key=("id",))
    tables = [shop.table()] if captured else []
    session = Shop(ORDERS, renamed, tables=tables)
    frames = transaction(_DESCRIBE, _INSERT, wire.relation(renamed.relation))
    if captured:
        with pytest.raises(LayoutRefused, match=r"public\.orders is now public\.orders_old"):
            session.feed(*frames)
    else:
        session.feed(*frames)


def test_a_captured_table_renamed_to_a_configured_name_goes_on_there() -> None:
    renamed = layout("orders_new", dict(zip(_ROW, ORDERS.facts.types, strict=True)), key=("id",))
    session = Shop(ORDERS, renamed, tables=[shop.table("public.orders*")])
    published = session.transaction(
        _DESCRIBE, _INSERT, wire.relation(renamed.relation), wire.insert(_OID, ORDER_ROW)
    )
    assert published.topics == [_TOPIC, "shop.public.orders_new"]


# --- streams that are refused


def test_a_row_of_a_relation_that_was_never_described_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match="relation 16385, which was never described"):
        _orders().transaction(_INSERT)


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([wire.frame(1, _INSERT)], "outside of any transaction"),
        ([wire.frame(1, wire.truncate(_OID))], "outside of any transaction"),
        ([wire.frame(1, _message())], "outside of any transaction"),
        ([wire.frame(9, wire.commit(5, 9))], "COMMIT outside of any transaction"),
        ([wire.frame(1, wire.begin(5))] * 2, "BEGIN inside a transaction"),
        (
            [wire.frame(1, wire.begin(5)), wire.frame(9, wire.commit(6, 9))],
            "COMMIT at 0/6, but BEGIN promised 0/5",
        ),
        (
            [wire.frame(1, wire.begin(5)), wire.frame(2, _message(transactional=False))],
            "inside a transaction",
        ),
        ([wire.frame(1, b"S" + bytes(9))], "message b'S'"),
        ([wire.frame(1, b"")], "without a message"),
        ([b"w"], "without a message"),
    ],
)
def test_a_stream_that_contradicts_itself_is_refused(frames: list[bytes], reason: str) -> None:
    with pytest.raises(ProtocolViolation, match=reason):
        Shop(ORDERS, tables=[shop.table()], prefixes=("audit",)).feed(*frames)


_UPDATE = wire.update(_OID, ORDER_ROW, old=ORDER_ROW)
_DELETE = wire.delete(_OID, old=ORDER_ROW)


@pytest.mark.parametrize("message", [_INSERT, wire.update(_OID, ORDER_ROW), _UPDATE, _DELETE])
def test_a_row_message_is_refused_wherever_it_is_cut(message: bytes) -> None:
    for end in range(1, len(message)):
        session = _orders()
        session.feed(wire.frame(1, wire.begin(5000)), wire.frame(0, _DESCRIBE))
        with pytest.raises(ProtocolViolation):
            session.feed(wire.frame(1, message[:end]))
        assert session.batches() == []


@pytest.mark.parametrize("message", [_INSERT, wire.update(_OID, ORDER_ROW), _UPDATE, _DELETE])
def test_a_row_message_with_bytes_too_many_is_refused(message: bytes) -> None:
    session = _orders()
    session.feed(wire.frame(1, wire.begin(5000)), wire.frame(0, _DESCRIBE))
    with pytest.raises(ProtocolViolation, match="does not fit its relation"):
        session.feed(wire.frame(1, message + b"\x00"))


@pytest.mark.parametrize(
    "message",
    [
        _INSERT.replace(b"N\x00\x04", b"K\x00\x04"),
        _DELETE.replace(b"O\x00\x04", b"N\x00\x04"),
        _UPDATE.replace(b"O\x00\x04", b"X\x00\x04"),
        _UPDATE.replace(b"N\x00\x04", b"O\x00\x04"),
    ],
)
def test_a_row_message_with_another_letter_is_refused(message: bytes) -> None:
    session = _orders()
    session.feed(wire.frame(1, wire.begin(5000)), wire.frame(0, _DESCRIBE))
    with pytest.raises(ProtocolViolation, match="does not fit its relation"):
        session.feed(wire.frame(1, message))


@given(st.sampled_from([_INSERT, _UPDATE, _DELETE, wire.truncate(_OID), _message()]), st.data())
@example(_INSERT, None)
def test_a_damaged_frame_is_published_or_refused_and_nothing_else(
    message: bytes, data: st.DataObject | None
) -> None:
    session = Shop(ORDERS, tables=[shop.table()], prefixes=("audit",))
    session.feed(wire.frame(1, wire.begin(5000)), wire.frame(0, _DESCRIBE))
    damaged = bytearray(message)
    if data:
        for _ in range(data.draw(st.integers(1, 3))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        session.feed(wire.frame(1, bytes(damaged)))
    except SidecarError:
        return


def test_an_error_names_table_lsn_and_transaction_but_no_value() -> None:
    session = _orders()
    refused_row = wire.insert(_OID, ("1", "hunter2", "NaN", None))
    with pytest.raises(Unrepresentable) as refused:
        session.transaction(_DESCRIBE, refused_row, final_lsn=0x1000, xid=9)
    assert refused.value.where == "table public.orders, LSN 0/FEC, transaction 9"
    assert "hunter2" not in str(refused.value)


def test_an_event_larger_than_its_topic_takes_is_refused_with_its_size() -> None:
    session = Shop(ORDERS, tables=[shop.table()], max_message_bytes=1000)
    session.transaction(_DESCRIBE, _INSERT, final_lsn=5000)
    with pytest.raises(RecordTooLarge, match=f"topic {_TOPIC} takes 488"):
        session.transaction(wire.insert(_OID, ("1", "x" * 500, None, None)), final_lsn=6000)


# --- batches and the position


def test_whole_transactions_are_handed_out_together_with_the_last_position() -> None:
    session = _orders()
    frames = transaction(_DESCRIBE, _INSERT, final_lsn=5000)
    frames += transaction(_INSERT, _INSERT, final_lsn=6000)
    (batch,) = session.publish(*frames).batches
    assert batch.position == Position(Lsn(6050))
    assert (batch.transactions, len(batch.records), batch.continues) == (2, 3, False)
    assert batch.size == sum(
        len(record.value or b"") + len(record.key or b"") for record in batch.records
    )
    assert batch.commit_time == wire.COMMIT_TIME


def test_an_open_transaction_is_not_handed_out() -> None:
    session = _orders()
    session.feed(*transaction(_DESCRIBE, _INSERT)[:-1])
    assert session.assembler.size > 0
    assert session.batches() == []


def test_a_transaction_without_events_moves_the_position_only_at_a_checkpoint() -> None:
    session = _orders()
    session.feed(*transaction())
    assert session.assembler.collect() == []
    (batch,) = session.batches()
    assert (batch.position, batch.records, batch.transactions) == (Position(Lsn(5050)), [], 0)


def test_a_keepalive_moves_the_position_between_transactions() -> None:
    session = _orders()
    session.assembler.advance(Lsn(100))
    assert [batch.position for batch in session.batches()] == [Position(Lsn(100))]
    session.assembler.advance(Lsn(90))
    assert session.batches() == []


def test_a_keepalive_inside_a_transaction_moves_nothing() -> None:
    session = _orders()
    frames = transaction(_DESCRIBE, _INSERT)
    session.feed(*frames[:-1])
    session.assembler.advance(Lsn(9000))
    session.feed(frames[-1])
    assert [batch.position for batch in session.batches()] == [Position(Lsn(5050))]


def test_columns_are_those_of_the_configuration_in_every_part_of_an_event() -> None:
    session = _orders(columns=["id", "total"], column={"total": {"rename": "amount"}})
    update = wire.update(_OID, ORDER_ROW, key=("9", None, None, None))
    deleted, _, created = session.transaction(_DESCRIBE, update).values
    assert deleted["before"] == {"id": 9, "amount": None}
    assert created["after"] == {"id": 1, "amount": "12.50"}


def test_composite_keys_are_published_in_key_order() -> None:
    lines = layout("lines", {"line": BIGINT, "of": BIGINT}, key=("of", "line"), oid=5)
    session = Shop(lines, tables=[shop.table("public.lines")])
    published = session.transaction(wire.relation(lines.relation), wire.insert(5, ["2", "1"]))
    assert list(published.keys[0].items()) == [("of", 1), ("line", 2)]


def test_type_messages_say_nothing_that_is_published() -> None:
    published = _orders().transaction(wire.type_name(16500, "public", "mood"), _DESCRIBE, _INSERT)
    assert len(published.records) == 1


def test_the_header_of_a_frame_gives_the_lsn() -> None:
    assert struct.unpack(">Q", wire.frame(4980, b"x")[1:9]) == (4980,)
