"""Tables that are not configured are dropped, and changed layouts get schemas of their own."""

import pytest

from cdc_sidecar.errors import LayoutRefused
from cdc_sidecar.events.counts import Count, Counted
from tests.unit import shop, wire
from tests.unit.orders import DESCRIBE, INSERT, OID, ROW, TOPIC, capture_orders
from tests.unit.shop import ORDER_ROW, ORDERS, TEXT, Shop, layout, transaction


def test_a_table_that_is_not_configured_is_counted_and_dropped() -> None:
    session = Shop(tables=[shop.table("public.other")])
    published = session.transaction(
        DESCRIBE,
        INSERT,
        wire.update(OID, ORDER_ROW),
        wire.delete(OID, key=ORDER_ROW),
        wire.truncate(OID),
    )
    assert published.records == []
    assert published.counts == {Count(Counted.IGNORED, "public.orders"): 4}
    assert session.asked == []


def test_a_relation_that_is_sent_again_asks_and_registers_nothing_anew() -> None:
    session = capture_orders()
    first = session.transaction(DESCRIBE, INSERT, final_lsn=5000)
    again = session.transaction(DESCRIBE, INSERT, final_lsn=6000)
    assert session.asked == [ORDERS.relation]
    assert [len(batch.schemas) for batch in first.batches] == [3]
    assert [len(batch.schemas) for batch in again.batches] == [0]
    assert shop.schema_id(again.records[0].value) == shop.schema_id(first.records[0].value)


_WIDER = layout(
    "orders",
    dict(zip(ROW, ORDERS.facts.types, strict=True)) | {"note": TEXT},
    key=("id",),
)


def test_a_changed_layout_is_registered_before_the_row_that_needs_it() -> None:
    session = Shop(ORDERS, _WIDER, tables=[shop.table()])
    published = session.transaction(
        DESCRIBE,
        INSERT,
        wire.relation(_WIDER.relation),
        wire.insert(OID, (*ORDER_ROW, "hello")),
    )
    old, new = published.values
    assert "note" not in old["after"]
    assert new["after"]["note"] == "hello"
    versions = session.subjects.versions(f"{TOPIC}-value")
    ids = [shop.schema_id(record.value) for record in published.records]
    assert ids == [version.id for version in versions]
    assert [key for key, _ in published.batches[0].schemas if key.endswith(b"-value/2")]
    assert [value["transaction"]["data_collection_order"] for value in (old, new)] == [1, 2]
    assert len(session.subjects.versions(f"{TOPIC}-key")) == 1


def test_a_layout_that_comes_back_has_its_old_schema() -> None:
    session = Shop(ORDERS, _WIDER, tables=[shop.table()])
    session.transaction(DESCRIBE, INSERT, final_lsn=5000)
    wider = wire.insert(OID, (*ORDER_ROW, None))
    session.transaction(wire.relation(_WIDER.relation), wider, final_lsn=6000)
    published = session.transaction(DESCRIBE, INSERT, final_lsn=7000)
    first = session.subjects.versions(f"{TOPIC}-value")[0]
    assert shop.schema_id(published.records[0].value) == first.id
    assert published.batches[0].schemas == []
    assert session.asked == [ORDERS.relation, _WIDER.relation]


def test_a_layout_that_cannot_be_captured_is_refused_at_its_first_row() -> None:
    keyless = layout("orders", {"status": TEXT})
    session = Shop(ORDERS, keyless, tables=[shop.table()])
    frames = transaction(DESCRIBE, INSERT, wire.relation(keyless.relation), wire.insert(OID, ["x"]))
    session.feed(*frames[:-2])
    with pytest.raises(LayoutRefused) as refused:
        session.feed(frames[-2])
    assert "has no key" in refused.value.fact
    assert "table public.orders" in refused.value.where
    assert "transaction 700" in refused.value.where


def test_a_captured_table_renamed_to_a_configured_name_goes_on_there() -> None:
    renamed = layout("orders_new", dict(zip(ROW, ORDERS.facts.types, strict=True)), key=("id",))
    session = Shop(ORDERS, renamed, tables=[shop.table("public.orders*")])
    published = session.transaction(
        DESCRIBE, INSERT, wire.relation(renamed.relation), wire.insert(OID, ORDER_ROW)
    )
    assert published.topics == [TOPIC, "shop.public.orders_new"]


def test_type_messages_say_nothing_that_is_published() -> None:
    published = capture_orders().transaction(
        wire.type_name(16500, "public", "mood"), DESCRIBE, INSERT
    )
    assert len(published.records) == 1
