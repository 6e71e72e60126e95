"""The key of an event is the key of its row, also where the key changes or is missing."""

from cdc_sidecar.postgres.pgoutput import UNCHANGED
from tests.unit import shop, wire
from tests.unit.orders import (
    DESCRIBE,
    LOGS,
    NULLS,
    OID,
    ROW,
    capture_orders,
    count_of,
    op_before_after,
    order_key,
)
from tests.unit.shop import BIGINT, ORDER_ROW, Shop, layout


def test_an_old_key_of_equal_value_is_no_changed_key() -> None:
    update = wire.update(OID, ORDER_ROW, key=("1", None, None, None))
    published = capture_orders().transaction(DESCRIBE, update)
    assert op_before_after(published.values) == [("u", {"id": 1, **NULLS}, ROW)]


def test_a_changed_key_is_a_d_a_tombstone_and_a_c() -> None:
    update = wire.update(OID, ORDER_ROW, key=("9", None, None, None))
    published = capture_orders().transaction(DESCRIBE, update)
    assert op_before_after(published.values) == [
        ("d", {"id": 9, **NULLS}, None),
        None,
        ("c", None, ROW),
    ]
    assert published.keys == [order_key(9), order_key(9), order_key(1)]
    orders = [value["transaction"]["total_order"] for value in published.values if value]
    assert orders == [1, 2]
    assert published.counts == {count_of("d"): 1, count_of("c"): 1}


def test_a_changed_key_keeps_its_unchanged_columns_marked() -> None:
    update = wire.update(OID, ("1", UNCHANGED, None, None), key=("9", None, None, None))
    published = capture_orders().transaction(DESCRIBE, update)
    assert published.values[2]["op"] == "c"
    assert published.values[2]["unchanged"] == ["status"]


def test_a_table_without_a_key_has_null_keys_and_no_tombstones() -> None:
    session = Shop(LOGS, tables=[shop.table("public.logs", unkeyed=True)])
    published = session.transaction(
        wire.relation(LOGS.relation),
        wire.insert(LOGS.oid, ["a"]),
        wire.update(LOGS.oid, ["b"], old=["a"]),
        wire.delete(LOGS.oid, old=["b"]),
    )
    assert [value["op"] for value in published.values] == ["c", "u", "d"]
    assert published.keys == [None, None, None]
    assert published.values[1]["before"] == {"what": "a"}


def test_composite_keys_are_published_in_key_order() -> None:
    lines = layout("lines", {"line": BIGINT, "of": BIGINT}, key=("of", "line"), oid=5)
    session = Shop(lines, tables=[shop.table("public.lines")])
    published = session.transaction(wire.relation(lines.relation), wire.insert(5, ["2", "1"]))
    assert list(published.keys[0].items()) == [("of", 1), ("line", 2)]
