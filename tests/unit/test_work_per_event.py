"""How many calls an event costs: the guard of the hot path, which no clock disturbs."""

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from cdc_sidecar.events import twin
from tests.unit import shop, wire

_ROWS = 1000
_COUNTED = {  # for one event, of Python functions and of those in C; lower them with the code
    ("native", "rows"): 9.02,
    ("native", "transactions"): 30.0,
    ("python", "rows"): 42.08,
    ("python", "transactions"): 107.0,
}
_GROWTH = 1.1


def _rows(lsn: int, count: int) -> list[bytes]:
    """Return one transaction of `count` inserts."""
    final = lsn + 100 * count + 50
    inserts = (
        wire.frame(lsn + 100 * number, wire.insert(shop.ORDERS.oid, shop.ORDER_ROW))
        for number in range(count)
    )
    begin, commit = wire.begin(final), wire.commit(final, final + 50)
    return [wire.frame(lsn, begin), *inserts, wire.frame(final, commit)]


def _stream(transactions: int, rows: int) -> list[bytes]:
    lsn, frames = 1000, []
    for _ in range(transactions):
        frames += _rows(lsn, rows)
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


@pytest.mark.parametrize(
    ("kind", "transactions", "rows"), [("rows", 1, _ROWS), ("transactions", _ROWS, 1)]
)
def test_an_event_costs_no_more_calls_than_it_did(kind: str, transactions: int, rows: int) -> None:
    session = shop.Shop(shop.ORDERS, tables=[shop.table()])
    relation = wire.frame(0, wire.relation(shop.ORDERS.relation))
    session.feed(*_rows(500, 1)[:1], relation, *_rows(500, 1)[1:])  # compiles the plan
    frames = _stream(transactions, rows)
    feed = session.assembler.feed

    def work() -> None:
        for frame in frames:
            feed(frame)

    per_event = _count_calls(work) / _ROWS
    assert len(session.batches()[-1].records) == _ROWS + 1
    print(f"{twin.NAME}, {kind}: {per_event:.2f} calls an event")
    assert per_event <= _COUNTED[twin.NAME, kind] * _GROWTH
