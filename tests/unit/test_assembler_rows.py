"""Each change of a row becomes the event that the contract promises."""

from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.postgres.pgoutput import UNCHANGED, ReplicaIdentity
from tests.unit import shop, wire
from tests.unit.orders import (
    DESCRIBE,
    INSERT,
    NULLS,
    OID,
    ROW,
    TOPIC,
    capture_orders,
    count_of,
    op_before_after,
    order_key,
)
from tests.unit.shop import ORDER_ROW, ORDERS, Shop, layout


def test_an_insert_is_a_c_with_everything_the_contract_promises() -> None:
    published = capture_orders().transaction(DESCRIBE, INSERT, final_lsn=5000, xid=746)
    assert published.topics == [TOPIC]
    assert published.keys == [order_key(1)]
    assert published.values == [
        {
            "before": None,
            "after": ROW,
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
    assert published.counts == {count_of("c"): 1}


def test_an_update_without_an_old_row_is_a_u_without_before() -> None:
    published = capture_orders().transaction(DESCRIBE, wire.update(OID, ORDER_ROW))
    assert op_before_after(published.values) == [("u", None, ROW)]
    assert published.keys == [order_key(1)]


def test_an_update_with_an_old_row_is_a_u_with_before() -> None:
    full = layout(
        "orders",
        dict(zip(ROW, ORDERS.facts.types, strict=True)),
        key=("id",),
        identity=ReplicaIdentity.FULL,
    )
    session = Shop(full, tables=[shop.table()])
    old = ("1", "new", None, None)
    published = session.transaction(
        wire.relation(full.relation), wire.update(OID, ORDER_ROW, old=old)
    )
    assert op_before_after(published.values) == [("u", {"id": 1, **NULLS, "status": "new"}, ROW)]


def test_an_untouched_toasted_column_is_filled_from_the_old_row() -> None:
    update = wire.update(OID, ("1", UNCHANGED, None, None), old=ORDER_ROW)
    (value,) = capture_orders().transaction(DESCRIBE, update).values
    assert value["after"] == {"id": 1, **NULLS, "status": "paid"}
    assert value["unchanged"] == []


def test_a_delete_is_a_d_and_a_tombstone() -> None:
    published = capture_orders().transaction(
        DESCRIBE, wire.delete(OID, key=("1", None, None, None))
    )
    assert op_before_after(published.values) == [("d", {"id": 1, **NULLS}, None), None]
    assert published.keys == [order_key(1), order_key(1)]
    assert published.counts == {count_of("d"): 1}


def test_without_tombstones_a_delete_is_a_d_alone() -> None:
    published = capture_orders(tombstones=False).transaction(
        DESCRIBE, wire.delete(OID, key=("1", None, None, None))
    )
    assert [value["op"] for value in published.values] == ["d"]


def test_an_update_that_left_a_toasted_column_untouched_marks_it_unchanged() -> None:
    update = wire.update(OID, ("1", UNCHANGED, UNCHANGED, None))
    published = capture_orders().transaction(DESCRIBE, update)
    (value,) = published.values
    assert value["after"] == {"id": 1, **NULLS}
    assert value["unchanged"] == ["status", "total"]
    assert published.counts == {
        count_of("u"): 1,
        Count(Counted.UNCHANGED, "public.orders", "status"): 1,
        Count(Counted.UNCHANGED, "public.orders", "total"): 1,
    }


def test_an_insert_that_a_row_filter_made_of_an_update_marks_values_that_were_not_sent() -> None:
    insert = wire.insert(OID, ("1", UNCHANGED, None, None))
    (value,) = capture_orders().transaction(DESCRIBE, insert).values
    assert (value["op"], value["unchanged"]) == ("c", ["status"])


def test_unchanged_columns_have_the_names_of_their_fields() -> None:
    session = capture_orders(column={"status": {"rename": "état"}})
    update = wire.update(OID, ("1", UNCHANGED, None, None))
    (value,) = session.transaction(DESCRIBE, update).values
    assert value["unchanged"] == ["_x00E9_tat"]
    assert value["after"]["_x00E9_tat"] is None


def test_columns_are_those_of_the_configuration_in_every_part_of_an_event() -> None:
    session = capture_orders(columns=["id", "total"], column={"total": {"rename": "amount"}})
    update = wire.update(OID, ORDER_ROW, key=("9", None, None, None))
    deleted, _, created = session.transaction(DESCRIBE, update).values
    assert deleted["before"] == {"id": 9, "amount": None}
    assert created["after"] == {"id": 1, "amount": "12.50"}
