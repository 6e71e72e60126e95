"""Logical messages become events, in and outside of transactions."""

from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.position import Position
from cdc_sidecar.postgres.lsn import Lsn
from tests.unit import shop, wire
from tests.unit.orders import DESCRIBE, INSERT, TOPIC, message_with
from tests.unit.shop import ORDERS, Shop, transaction


def test_a_transactional_message_is_an_m_in_its_place_among_the_rows() -> None:
    session = Shop(ORDERS, tables=[shop.table()], prefixes=("audit",))
    published = session.transaction(DESCRIBE, INSERT, message_with(), INSERT)
    assert published.topics == [TOPIC, "shop.message", TOPIC]
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
    published = session.publish(wire.frame(4242, message_with(transactional=False)))
    (value,) = published.values
    assert value["transaction"] is None
    assert (value["source"]["commit_lsn"], value["source"]["lsn"]) == (4242, 4242)
    assert value["source"]["txId"] is None
    assert published.batches[0].position == Position(Lsn(4242))


def test_a_message_with_another_prefix_is_counted_and_moves_the_position() -> None:
    session = Shop(prefixes=("audit",))
    published = session.publish(wire.frame(4242, message_with("noise", transactional=False)))
    assert published.records == []
    assert published.counts == {Count(Counted.IGNORED, "message"): 1}
    assert published.batches[0].position == Position(Lsn(4242))


def test_a_message_that_the_position_covers_is_skipped() -> None:
    session = Shop(prefixes=("audit",), position=Position(Lsn(4242)))
    assert session.publish(wire.frame(4242, message_with(transactional=False))).batches == []


def test_a_message_before_its_surrounding_transaction_hides_nothing_of_it() -> None:
    session = Shop(ORDERS, tables=[shop.table()], prefixes=("audit",))
    lone = wire.frame(5000, message_with(lsn=5000, transactional=False))
    frames = [lone, *transaction(DESCRIBE, INSERT, final_lsn=5000)]
    assert session.publish(*frames).topics == ["shop.message", TOPIC]
