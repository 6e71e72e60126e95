"""A truncate is skipped, becomes an event in one or every partition, or halts the sidecar."""

import pytest

from cdc_sidecar.errors import TruncateRefused
from cdc_sidecar.events.counts import Count, Counted
from tests.unit import shop, wire
from tests.unit.orders import DESCRIBE, LOGS, OID, TOPIC, capture_orders, count_of, op_before_after
from tests.unit.shop import ORDERS, Shop


def test_a_truncate_goes_to_every_partition_with_a_null_key() -> None:
    published = capture_orders(truncate="event").transaction(DESCRIBE, wire.truncate(OID))
    assert [record.topic for record in published.records] == [TOPIC] * shop.PARTITIONS
    assert [record.partition for record in published.records] == list(range(shop.PARTITIONS))
    assert published.keys == [None] * shop.PARTITIONS
    assert len({record.value for record in published.records}) == 1
    assert op_before_after(published.values[:1]) == [("t", None, None)]
    assert published.counts == {count_of("t"): 1}


def test_every_table_of_a_truncate_is_an_event_of_its_own() -> None:
    tables = [shop.table(), shop.table("public.logs", unkeyed=True)]
    session = Shop(
        ORDERS, LOGS, tables=[each.model_copy(update={"truncate": "event"}) for each in tables]
    )
    published = session.transaction(
        DESCRIBE, wire.relation(LOGS.relation), wire.truncate(OID, LOGS.oid)
    )
    seen = {
        (value["source"]["table"], value["transaction"]["total_order"])
        for value in published.values
    }
    assert seen == {("orders", 1), ("logs", 2)}


def test_by_default_a_truncate_is_counted_and_not_sent() -> None:
    published = capture_orders().transaction(DESCRIBE, wire.truncate(OID))
    assert published.records == []
    assert published.counts == {Count(Counted.SKIPPED_TRUNCATES, "public.orders"): 1}


def test_a_truncate_can_go_to_the_first_partition_alone() -> None:
    session = capture_orders(truncate="first_partition")
    (record,) = session.transaction(DESCRIBE, wire.truncate(OID)).records
    assert (record.key, record.partition) == (None, 0)


def test_a_truncate_can_halt_and_says_where() -> None:
    with pytest.raises(TruncateRefused) as refused:
        capture_orders(truncate="halt").transaction(DESCRIBE, wire.truncate(OID))
    assert refused.value.fact == "public.orders"
    assert "transaction 700" in refused.value.where
