"""Events are counted in their transaction, and the position moves by whole transactions."""

import struct

from cdc_sidecar.events.position import Position
from cdc_sidecar.postgres.lsn import Lsn
from tests.unit import shop, wire
from tests.unit.orders import DESCRIBE, INSERT, LOGS, OID, capture_orders
from tests.unit.shop import ORDERS, Shop, transaction


def test_events_are_counted_in_total_and_for_each_table() -> None:
    session = Shop(ORDERS, LOGS, tables=[shop.table(), shop.table("public.logs", unkeyed=True)])
    published = session.transaction(
        DESCRIBE,
        wire.relation(LOGS.relation),
        INSERT,
        wire.insert(LOGS.oid, ["a"]),
        wire.delete(OID, key=("1", None, None, None)),
        wire.insert(LOGS.oid, ["b"]),
        INSERT,
    )
    blocks = [value["transaction"] for value in published.values if value]
    assert [block["total_order"] for block in blocks] == [1, 2, 3, 4, 5]
    assert [block["data_collection_order"] for block in blocks] == [1, 1, 2, 2, 3]


def test_every_transaction_counts_from_one_and_carries_its_own_id() -> None:
    session = capture_orders()
    frames = transaction(DESCRIBE, INSERT, final_lsn=5000, xid=7)
    frames += transaction(INSERT, INSERT, final_lsn=6000, xid=9)
    blocks = [value["transaction"] for value in session.publish(*frames).values]
    assert [(block["id"], block["total_order"]) for block in blocks] == [
        ("7:5000", 1),
        ("9:6000", 1),
        ("9:6000", 2),
    ]


def test_each_change_carries_its_own_lsn() -> None:
    session = capture_orders()
    lsns = [4999, 99_999, 99_999, 100_000, 2**63 - 10]
    frames = [wire.frame(1, wire.begin(2**63 - 5)), wire.frame(0, DESCRIBE)]
    frames += [wire.frame(lsn, INSERT) for lsn in lsns]
    frames += [wire.frame(2**63 - 5, wire.commit(2**63 - 5, 2**63 - 1))]
    sources = [value["source"] for value in session.publish(*frames).values]
    assert [source["lsn"] for source in sources] == lsns
    assert [source["sequence"] for source in sources] == [
        f'["{2**63 - 5}","{lsn}"]' for lsn in lsns
    ]


def test_the_outer_times_are_those_of_the_begin_for_the_whole_transaction() -> None:
    moments = iter([1_000_001, 2_000_002])
    session = Shop(ORDERS, tables=[shop.table()], clock=lambda: next(moments))
    frames = transaction(DESCRIBE, INSERT, INSERT, final_lsn=5000)
    frames += transaction(INSERT, final_lsn=6000)
    values = session.publish(*frames).values
    assert [value["ts_us"] for value in values] == [1_000_001, 1_000_001, 2_000_002]
    assert (values[0]["ts_ms"], values[0]["ts_ns"]) == (1000, 1_000_001_000)


def test_the_origin_of_a_replicated_transaction_is_named() -> None:
    published = capture_orders().transaction(wire.origin(77, "elsewhere"), DESCRIBE, INSERT)
    source = published.values[0]["source"]
    assert (source["origin"], source["origin_lsn"]) == ("elsewhere", 77)


def test_an_origin_belongs_to_its_transaction_alone() -> None:
    session = capture_orders()
    session.transaction(wire.origin(77, "elsewhere"), DESCRIBE, INSERT, final_lsn=5000)
    published = session.transaction(INSERT, final_lsn=6000)
    assert published.values[0]["source"]["origin"] is None


# --- batches and the position


def test_whole_transactions_are_handed_out_together_with_the_last_position() -> None:
    session = capture_orders()
    frames = transaction(DESCRIBE, INSERT, final_lsn=5000)
    frames += transaction(INSERT, INSERT, final_lsn=6000)
    (batch,) = session.publish(*frames).batches
    assert batch.position == Position(Lsn(6050))
    assert (batch.transactions, len(batch.records), batch.continues) == (2, 3, False)
    assert batch.size == sum(
        len(record.value or b"") + len(record.key or b"") for record in batch.records
    )
    assert list(batch.commits) == [(wire.COMMIT_TIME, 2)]


def test_an_open_transaction_is_not_handed_out() -> None:
    session = capture_orders()
    session.feed(*transaction(DESCRIBE, INSERT)[:-1])
    assert session.assembler.size > 0
    assert session.batches() == []


def test_a_transaction_without_events_moves_the_position_only_at_a_checkpoint() -> None:
    session = capture_orders()
    session.feed(*transaction())
    assert session.assembler.collect() == []
    (batch,) = session.batches()
    assert (batch.position, batch.records, batch.transactions) == (Position(Lsn(5050)), [], 0)


def test_a_keepalive_moves_the_position_between_transactions() -> None:
    session = capture_orders()
    session.assembler.advance(Lsn(100))
    assert [batch.position for batch in session.batches()] == [Position(Lsn(100))]
    session.assembler.advance(Lsn(90))
    assert session.batches() == []


def test_a_keepalive_inside_a_transaction_moves_nothing() -> None:
    session = capture_orders()
    frames = transaction(DESCRIBE, INSERT)
    session.feed(*frames[:-1])
    session.assembler.advance(Lsn(9000))
    session.feed(frames[-1])
    assert [batch.position for batch in session.batches()] == [Position(Lsn(5050))]


def test_the_header_of_a_frame_gives_the_lsn() -> None:
    assert struct.unpack(">Q", wire.frame(4980, b"x")[1:9]) == (4980,)
