"""A refused change leaves the transaction as it was, for every operation and kind of sink."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_sidecar.errors import InternalError, ProtocolViolation, RecordTooLarge, SidecarError
from cdc_sidecar.events import twin
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.catalog import TopicFacts
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.message import MessageSink
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.position import Position
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.events.relations import Relations
from cdc_sidecar.events.route import BATCH_OVERHEAD
from cdc_sidecar.events.sink import RowSink
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.pgoutput import (
    UNCHANGED,
    LogicalMessage,
    Relation,
    ReplicaIdentity,
)
from cdc_sidecar.postgres.types import LayoutFacts, Lineage
from tests.unit import shop, wire
from tests.unit.shop import ORDER_ROW, ORDERS, OUTBOX, TEXT, Layout, Shop, layout, transaction

_KEYED = layout("keyed", {"id": TEXT, "what": TEXT}, key=("id",), identity=ReplicaIdentity.FULL)
_UNKEYED = layout("unkeyed", {"id": TEXT, "what": TEXT}, oid=2, identity=ReplicaIdentity.FULL)
_IGNORED = layout("ignored", {"id": TEXT, "what": TEXT}, oid=3)
_HALTING = layout("halting", {"id": TEXT, "what": TEXT}, key=("id",), oid=4)
_LAYOUTS = (_KEYED, _UNKEYED, _IGNORED, _HALTING, OUTBOX)
_CAPTURE = Capture(
    "shop",
    (
        shop.table("public.keyed", truncate="event"),
        shop.table("public.unkeyed", unkeyed=True),
        shop.table("public.halting", truncate="halt"),
    ),
    (shop.outbox(),),
    ("audit",),
)
_SOURCE = Source("1.2.3", "shop", "shopdb")

Change = Callable[["_Sinks", SourceTransaction], None]


class _Sinks:
    """The sinks of every layout and of messages, whose topics all have the same limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        schemas = SchemaLog()
        relations = Relations(_CAPTURE, _SOURCE, schemas, self)
        for described in _LAYOUTS:
            relations.describe(described.relation)
        self._relations = relations
        self.messages = MessageSink(_SOURCE, _CAPTURE, schemas.registry, self)

    def __getitem__(self, described: Layout) -> RowSink:
        return self._relations.open(described.oid)

    def lineage(self, _oid: int) -> Lineage:
        return Lineage(None)

    def layout_facts(self, relation: Relation) -> LayoutFacts:
        return next(known.facts for known in _LAYOUTS if known.relation == relation)

    def later_columns(self, _relation: Relation) -> frozenset[str]:
        return frozenset()

    def topic_facts(self, _name: str, *, parked: bool = False) -> TopicFacts:  # noqa: ARG002 - alike
        return TopicFacts(3, self._limit + BATCH_OVERHEAD)


_CELLS = st.tuples(
    st.sampled_from(["a", "b", "b" * 150, None]),
    st.sampled_from(["", "x" * 100, "x" * 300, UNCHANGED, b"\xff"]),
)
_TABLES = st.sampled_from([_KEYED, _UNKEYED, _IGNORED, _HALTING])


def _insert(described: Layout, new: Any) -> Change:  # noqa: ANN401 - cells
    frame = wire.frame(1, wire.insert(described.oid, new))
    return lambda sinks, open_: sinks[described].insert(open_, frame)


def _update(described: Layout, old: Any, new: Any) -> Change:  # noqa: ANN401 - cells
    frame = wire.frame(1, wire.update(described.oid, new, old=old))
    return lambda sinks, open_: sinks[described].update(open_, frame)


def _delete(described: Layout, old: Any) -> Change:  # noqa: ANN401 - cells
    frame = wire.frame(1, wire.delete(described.oid, old=old))
    return lambda sinks, open_: sinks[described].delete(open_, frame)


def _truncate(described: Layout) -> Change:
    return lambda sinks, open_: sinks[described].truncate(open_)


def _message(prefix: str, size: int) -> Change:
    message = LogicalMessage(transactional=True, lsn=Lsn(1), prefix=prefix, content=b"x" * size)
    return lambda sinks, open_: sinks.messages.add(open_, message)


def _outbox(aggregatetype: str | None, payload: str) -> Change:
    return _insert(OUTBOX, ("1", aggregatetype, "7", "paid", payload))


_CHANGES = st.one_of(
    st.builds(_insert, _TABLES, _CELLS),
    st.builds(_update, _TABLES, st.none() | _CELLS, _CELLS),
    st.builds(_delete, _TABLES, _CELLS),
    st.builds(_truncate, _TABLES),
    st.builds(_message, st.sampled_from(["audit", "noise"]), st.sampled_from([1, 400])),
    st.builds(_outbox, st.sampled_from(["a", None]), st.sampled_from(["{}", "x" * 400])),
    st.just(lambda sinks, open_: sinks[OUTBOX].update(open_, b"")),
)


def _look(open_: SourceTransaction) -> tuple[object, ...]:
    """Return all that a transaction holds, but its cursor."""
    numbers = (open_.total_order, open_.orders, list(open_.orders), dict(open_.counts))
    return (*numbers, list(open_.records), open_.size)


def _apply(sinks: _Sinks, open_: SourceTransaction, lsn: int, change: Change) -> bool:
    """Apply a change; return whether it was accepted. One that is refused must leave no trace."""
    before = _look(open_)
    open_.step(lsn)
    try:
        change(sinks, open_)
    except SidecarError:
        assert _look(open_) == before
        return False
    return True


@given(st.lists(_CHANGES, max_size=8), st.sampled_from([12, 110, 125, 160, 280, 1500]))
def test_a_transaction_is_what_it_would_be_without_its_refused_changes(
    changes: list[Change], limit: int
) -> None:
    sinks, whole = _Sinks(limit), twin.SourceTransaction(5000, 7, 1, 2)
    accepted = [
        (lsn, change)
        for lsn, change in enumerate(changes, 100)
        if _apply(sinks, whole, lsn, change)
    ]
    sinks, rest = _Sinks(limit), twin.SourceTransaction(5000, 7, 1, 2)
    for lsn, change in accepted:
        assert _apply(sinks, rest, lsn, change)
    assert _look(whole) == _look(rest)


@pytest.mark.parametrize(
    ("old", "new"),
    [("a", "b" * 150), ("b" * 150, "a")],
    ids=["create too large", "delete too large"],
)
def test_a_changed_key_publishes_both_halves_or_none(old: str, new: str) -> None:
    sinks, open_ = _Sinks(250), twin.SourceTransaction(5000, 7, 1, 2)
    assert _apply(sinks, open_, 100, _insert(_KEYED, ("a", "")))
    with pytest.raises(RecordTooLarge):
        _update(_KEYED, (old, ""), (new, ""))(sinks, open_)
    assert not _apply(sinks, open_, 101, _update(_KEYED, (old, ""), (new, "")))
    assert open_.orders == {"public.keyed": 1}


def test_a_truncate_that_is_too_large_goes_to_no_partition() -> None:
    sinks, open_ = _Sinks(100), twin.SourceTransaction(5000, 7, 1, 2)
    open_.step(99)
    with pytest.raises(RecordTooLarge):
        sinks[_KEYED].truncate(open_)
    assert not _apply(sinks, open_, 100, _truncate(_KEYED))


# --- the stream after a refused frame

_NAN = wire.insert(ORDERS.oid, ("2", "paid", "NaN", None))
_DESCRIBE = wire.relation(ORDERS.relation)


def _broken() -> Shop:
    """Return a session with one whole transaction, in which a later row was refused."""
    session = Shop(ORDERS, tables=[shop.table()], prefixes=("audit",))
    insert = wire.insert(ORDERS.oid, ORDER_ROW)
    session.feed(*transaction(_DESCRIBE, insert, final_lsn=2000))
    with pytest.raises(SidecarError):
        session.feed(*transaction(insert, _NAN, final_lsn=5000))
    return session


def test_what_was_whole_before_a_refused_row_is_handed_out_and_nothing_else() -> None:
    session = _broken()
    (batch,) = session.batches()
    assert batch.position == session.assembler.position == Position(Lsn(2050))
    assert len(batch.records) == 1
    assert session.assembler.size == 0


@pytest.mark.parametrize(
    "message",
    [
        wire.insert(ORDERS.oid, ORDER_ROW),
        wire.truncate(ORDERS.oid),
        wire.begin(6000),
        wire.commit(5000, 5050),
        _DESCRIBE,
        wire.logical_message("audit", b"", 5000, transactional=False),
    ],
    ids=["row", "truncate", "begin", "commit", "relation", "message"],
)
def test_a_frame_after_a_refused_one_is_an_internal_error(message: bytes) -> None:
    session = _broken()
    with pytest.raises(InternalError, match="after one that was refused"):
        session.feed(wire.frame(5000, message))
    session.assembler.advance(Lsn(9000))
    assert [batch.position for batch in session.batches()] == [Position(Lsn(2050))]


@pytest.mark.parametrize("frame", [b"w", wire.frame(1, wire.insert(ORDERS.oid, ORDER_ROW)[:-1])])
def test_a_frame_that_is_cut_off_breaks_the_stream_too(frame: bytes) -> None:
    session = Shop(ORDERS, tables=[shop.table()])
    session.feed(wire.frame(1, wire.begin(5000)), wire.frame(0, _DESCRIBE))
    with pytest.raises(ProtocolViolation):
        session.feed(frame)
    with pytest.raises(InternalError):
        session.feed(wire.frame(5000, wire.commit(5000, 5050)))
