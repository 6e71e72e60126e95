"""The number of calls for each event: a measure of the hot path that depends on no clock."""

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from cdc_sidecar.events import twin
from tests.unit import shop, wire

_ROWS = 1000
_COUNTED = {  # for one event, of Python functions and of those in C; lower them with the code
    ("native", "rows"): 5.02,
    ("native", "transactions"): 26.0,
    ("native", "outbox"): 4.02,
    ("python", "rows"): 41.06,
    ("python", "transactions"): 106.0,
    ("python", "outbox"): 56.02,
}
_GROWTH = 1.1


def _transaction(lsn: int, inserts: list[bytes]) -> list[bytes]:
    """Return the frames of one transaction."""
    final = lsn + 100 * len(inserts) + 50
    rows = [wire.frame(lsn + 100 * number, insert) for number, insert in enumerate(inserts)]
    begin, commit = wire.begin(final), wire.commit(final, final + 50)
    return [wire.frame(lsn, begin), *rows, wire.frame(final, commit)]


def _stream(insert: bytes, transactions: int, rows: int) -> list[bytes]:
    lsn, frames = 1000, []
    for _ in range(transactions):
        frames += _transaction(lsn, [insert] * rows)
        lsn += 100 * rows + 100
    return frames


def _count_calls(work: Callable[[], None]) -> int:
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def _measure(session: shop.Shop, layout: shop.Layout, insert: bytes, *, transactions: int) -> float:
    """Return the calls for one event; the number of events is the same in every measurement."""
    begin, *first = _transaction(500, [insert])
    session.feed(begin, wire.frame(0, wire.relation(layout.relation)), *first)  # compiles the plan
    frames = _stream(insert, transactions, _ROWS // transactions)
    feed = session.assembler.feed

    def work() -> None:
        for frame in frames:
            feed(frame)

    per_event = _count_calls(work) / _ROWS
    assert len(session.batches()[-1].records) == _ROWS + 1
    return per_event


def _check(kind: str, per_event: float) -> None:
    print(f"{twin.NAME}, {kind}: {per_event:.2f} calls an event")
    assert per_event <= _COUNTED[twin.NAME, kind] * _GROWTH


@pytest.mark.parametrize(("kind", "transactions"), [("rows", 1), ("transactions", _ROWS)])
def test_an_event_costs_no_more_calls_than_it_did(kind: str, transactions: int) -> None:
    session = shop.Shop(shop.ORDERS, tables=[shop.table()])
    insert = wire.insert(shop.ORDERS.oid, shop.ORDER_ROW)
    _check(kind, _measure(session, shop.ORDERS, insert, transactions=transactions))


def test_an_outbox_event_costs_no_more_calls_than_it_did() -> None:
    session = shop.Shop(shop.OUTBOX, outboxes=[shop.outbox()])
    insert = wire.insert(shop.OUTBOX.oid, ("1", "Order", "42", "OrderPaid", "{}"))
    _check("outbox", _measure(session, shop.OUTBOX, insert, transactions=1))
