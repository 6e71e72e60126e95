"""A replay from any position adds exactly the rest, byte for byte and in order (I5)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdc_sidecar.errors import ProtocolViolation
from cdc_sidecar.events import batching
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.events.reader import EventReader
from cdc_sidecar.events.record import Record
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.pgoutput import ReplicaIdentity
from tests.unit import shop, wire
from tests.unit.shop import ORDERS, TEXT, Layout, Shop, layout, transaction

_LOGS = layout("logs", {"what": TEXT}, oid=16390, identity=ReplicaIdentity.FULL)
_IGNORED = layout("ignored", {"what": TEXT}, oid=16391)
_LAYOUTS = (ORDERS, _LOGS, _IGNORED)
_NOTHING = (None, None, None)
_CHANGES = {
    "insert": (ORDERS, wire.insert(ORDERS.oid, shop.ORDER_ROW)),
    "update": (ORDERS, wire.update(ORDERS.oid, shop.ORDER_ROW)),
    "key": (ORDERS, wire.update(ORDERS.oid, ("2", *_NOTHING), key=("1", *_NOTHING))),
    "delete": (ORDERS, wire.delete(ORDERS.oid, key=("1", *_NOTHING))),
    "truncate": (ORDERS, wire.truncate(ORDERS.oid)),
    "log": (_LOGS, wire.insert(_LOGS.oid, ["a"])),
    "ignored": (_IGNORED, wire.insert(_IGNORED.oid, ["a"])),
    "message": (None, wire.logical_message("audit", b"x", 9, transactional=True)),
    "noise": (None, wire.logical_message("noise", b"x", 9, transactional=True)),
}


@dataclass(frozen=True)
class Change:
    """One change and its LSN."""

    lsn: int
    kind: str


@dataclass(frozen=True)
class Transaction:
    """One source transaction; `lone` messages were written before its commit record."""

    final_lsn: int
    changes: tuple[Change, ...]
    lone: tuple[int, ...] = ()

    @property
    def end_lsn(self) -> int:
        """Where its commit record ends."""
        return self.final_lsn + 5


@st.composite
def _histories(draw: st.DrawFn) -> list[Transaction]:
    """Draw transactions in commit order, whose changes often share an LSN, or interleave."""
    history, last = [], 100
    for _ in range(draw(st.integers(1, 4))):
        lone = last + draw(st.integers(1, 3))
        final = lone + draw(st.integers(0, 20))
        lsns = sorted(draw(st.lists(st.integers(max(10, final - 8), final - 1), max_size=8)))
        kinds = draw(
            st.lists(st.sampled_from(sorted(_CHANGES)), min_size=len(lsns), max_size=len(lsns))
        )
        changes = tuple(Change(*pair) for pair in zip(lsns, kinds, strict=True))
        history.append(Transaction(final, changes, (lone,) if draw(st.booleans()) else ()))
        last = history[-1].end_lsn
    return history


def _frames(history: list[Transaction]) -> Iterator[bytes]:
    """Spell a history as one session of the server does: relations before their first row."""
    described: set[Layout] = set()
    for source in history:
        for lone in source.lone:
            yield wire.frame(lone, wire.logical_message("audit", b"", lone, transactional=False))
        yield wire.frame(0, wire.begin(source.final_lsn, source.final_lsn + 600))
        for change in source.changes:
            table, message = _CHANGES[change.kind]
            if table and table not in described:
                described.add(table)
                yield wire.frame(0, wire.relation(table.relation))
            yield wire.frame(change.lsn, message)
        yield wire.frame(source.final_lsn, wire.commit(source.final_lsn, source.end_lsn))


def _session(
    position: Position | None = None,
    schemas: SchemaLog | None = None,
    *,
    transaction_metadata: bool = False,
) -> Shop:
    return Shop(
        *_LAYOUTS,
        tables=[shop.table(), shop.table("public.logs", unkeyed=True)],
        prefixes=("audit",),
        transaction_metadata=transaction_metadata,
        position=position,
        schemas=schemas,
    )


def _run(session: Shop, history: list[Transaction], *, every: int = 1) -> list[Batch]:
    """Feed a history and collect batches after every so many frames."""
    batches = []
    for number, frame in enumerate(_frames(history), 1):
        session.feed(frame)
        if number % every == 0:
            batches += session.assembler.collect(checkpoint=number % 2 == 0)
    return batches + session.batches()


def _records(batches: list[Batch]) -> list[Record]:
    """Return the records without those that only tell how far the stream is at a moment."""
    records = shop.Published(batches, EventReader(Subjects().schema)).records
    return [record for record in records if b"0:" not in (record.key or b"")[6:8]]


def _known(batches: list[Batch]) -> SchemaLog:
    """Return the registry as a new session loads it."""
    schemas = SchemaLog()
    for batch in batches:
        for key, value in batch.schemas:
            schemas.load(key, value)
    return schemas


@pytest.fixture(params=[1, 400, 1_000_000], ids=["tiny", "small", "whole"], autouse=True)
def part_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let transactions be split at once, sometimes, or never."""
    size: int = request.param
    monkeypatch.setattr(batching, "PART_BYTES", size)
    return size


_SAME_LSN = Transaction(130, (Change(120, "insert"),) * 4 + (Change(125, "key"),) * 2, (125,))


@pytest.mark.usefixtures("part_bytes")
@settings(max_examples=40)
@given(_histories(), st.integers(1, 5), st.booleans())
@example([_SAME_LSN], 1, True)  # noqa: FBT003 - a drawn argument
@example([_SAME_LSN], 1, False)  # noqa: FBT003 - a drawn argument
def test_a_replay_after_any_position_publishes_exactly_the_rest(
    history: list[Transaction],
    every: int,
    transaction_metadata: bool,  # noqa: FBT001 - a drawn argument
) -> None:
    whole = _run(_session(transaction_metadata=transaction_metadata), history, every=every)
    at_once = _run(_session(transaction_metadata=transaction_metadata), history, every=1000)
    assert _records(whole) == _records(at_once)
    for cut in range(len(whole) + 1):
        published = whole[:cut]
        position = published[-1].position if published else None
        session = _session(position, _known(published), transaction_metadata=transaction_metadata)
        replayed = _run(session, history, every=every)
        assert _records(published) + _records(replayed) == _records(whole)
        if replayed:
            assert replayed[-1].position == whole[-1].position


@settings(max_examples=40)
@given(_histories())
def test_a_replay_that_starts_at_the_position_publishes_the_same(
    history: list[Transaction],
) -> None:
    whole = _run(_session(), history)
    for cut, batch in enumerate(whole, 1):
        end = batch.position.end_lsn
        rest = [source for source in history if source.final_lsn >= end]
        replayed = _run(_session(batch.position, _known(whole[:cut])), rest)
        assert _records(whole[:cut]) + _records(replayed) == _records(whole)


def test_the_parts_of_a_long_transaction_are_the_whole(part_bytes: int) -> None:
    changes = tuple(Change(200 + place // 3, "insert") for place in range(30))
    history = [Transaction(300, changes)]
    batches = _run(_session(), history)
    assert len(batches) == {1: 31, 400: len(batches), 1_000_000: 1}[part_bytes]
    assert len({len(batch.records) for batch in batches[:-1]}) <= 1
    assert [batch.continues for batch in batches] == [False] + [True] * (len(batches) - 1)
    assert [batch.position.partial is None for batch in batches] == (
        [False] * (len(batches) - 1) + [True]
    )
    assert {batch.position.end_lsn for batch in batches[:-1]} <= {1}
    assert batches[-1].position == Position(Lsn(305))
    values = shop.Published(batches, EventReader(_known(batches).subjects.schema)).values
    assert [value["transaction"]["total_order"] for value in values] == list(range(1, 31))
    assert sum(batch.transactions for batch in batches) == 1
    assert sum(sum(batch.counts.values()) for batch in batches) == 30


def test_a_split_transaction_resumes_inside_changes_that_share_an_lsn() -> None:
    changes = (Change(120, "insert"), Change(120, "log"), Change(120, "insert"), Change(121, "log"))
    history = [Transaction(130, changes)]
    partial = Partial(
        Lsn(130), 700, Lsn(120), 1, 1, total_order=2, orders={"public.orders": 1, "public.logs": 1}
    )
    session = _session(Position(Lsn(110), partial))
    published = shop.Published(_run(session, history), session.reader)
    blocks = [value["transaction"] for value in published.values]
    assert [(b["total_order"], b["data_collection_order"]) for b in blocks] == [(3, 2), (4, 2)]
    assert published.batches[-1].position == Position(Lsn(135))


def test_a_part_ends_at_its_last_change_counted_among_those_that_share_its_lsn(
    part_bytes: int,
) -> None:
    changes = tuple(Change(lsn, "insert") for lsn in (120, 120, 120, 121, 125, 125))
    batches = _run(_session(), [Transaction(130, changes)])
    partials = [batch.position.partial for batch in batches if batch.position.partial]
    if part_bytes == 1:
        ends = [(partial.lsn, partial.index) for partial in partials]
        assert ends == [(120, 0), (120, 1), (120, 2), (121, 0), (125, 0), (125, 1)]
        assert [partial.total_order for partial in partials] == [1, 2, 3, 4, 5, 6]
        assert partials[-1].orders == {"public.orders": 6}


def test_changes_that_an_altered_publication_no_longer_sends_shift_nothing() -> None:
    partial = Partial(Lsn(130), 730, Lsn(121), 0, 1, total_order=2, orders={"public.orders": 2})
    history = [Transaction(130, (Change(121, "insert"), Change(122, "insert")))]  # 120 is gone
    assert len(_records(_run(_session(Position(Lsn(110), partial)), history))) == 1


def test_changes_of_tables_that_are_not_captured_count_among_those_that_share_an_lsn() -> None:
    changes = (Change(120, "ignored"), Change(120, "noise"), Change(120, "insert"))
    history = [Transaction(130, changes)]
    partial = Partial(Lsn(130), 700, Lsn(120), 1, 1, total_order=0)
    assert len(_records(_run(_session(Position(Lsn(110), partial)), history))) == 1
    covered = Position(Lsn(110), replace(partial, index=2))
    assert _records(_run(_session(covered), history)) == []


def test_a_transaction_that_commits_before_the_position_is_skipped_whole() -> None:
    history = [Transaction(130, (Change(120, "insert"),)), Transaction(140, (Change(121, "log"),))]
    session = _session(Position(Lsn(135)))
    assert [record.topic for record in _records(_run(session, history))] == ["shop.public.logs"]


def test_a_relation_inside_a_skipped_transaction_describes_the_rows_after_it() -> None:
    history = [
        Transaction(130, (Change(120, "insert"),)),
        Transaction(140, (Change(136, "insert"),)),
    ]
    assert len(_records(_run(_session(Position(Lsn(135))), history))) == 1


def test_a_split_transaction_whose_rest_does_not_come_is_an_error() -> None:
    position = Position(Lsn(110), Partial(Lsn(130), 700, Lsn(120), 0, 1, total_order=1))
    session = _session(position)
    with pytest.raises(ProtocolViolation, match="the rest of the split one at 0/82 has not come"):
        session.feed(*transaction(final_lsn=200))


def test_a_keepalive_never_passes_the_rest_of_a_split_transaction() -> None:
    position = Position(Lsn(110), Partial(Lsn(130), 700, Lsn(120), 0, 1, total_order=1))
    session = _session(position)
    session.assembler.advance(Lsn(9000))
    assert session.batches() == []
    assert session.assembler.position == position


def test_a_replay_takes_the_stored_facts_and_asks_no_catalog() -> None:
    history = [Transaction(130, (Change(120, "insert"),))]
    published = _run(_session(), history)
    again = _session(None, _known(published))
    assert _records(_run(again, history)) == _records(published)
    assert again.asked == []
