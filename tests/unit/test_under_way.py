"""Which chunks may be read while others are on their way through the stream."""

from dataclasses import replace

from cdc_sidecar.config.model import Snapshot
from cdc_sidecar.events.snapshot.chunk import Chunk
from cdc_sidecar.events.snapshot.progress import SnapshotPhase
from cdc_sidecar.runtime.under_way import UnderWay
from tests.unit.snapshots import ITEMS, Stage

OID = ITEMS.oid


def _under_way(stage: Stage, *, rows: int = 1000, size: str = "1MB") -> UnderWay:
    settings = Snapshot.model_validate({"chunk_rows": rows, "chunk_bytes": size})
    return UnderWay(stage.window, settings)


def _chunk(stage: Stage, last: int, *, complete: bool = False) -> Chunk:
    """Return a chunk of two rows."""
    after = replace(stage.state, cursor=(str(last),))
    if complete:
        after = replace(after, phase=SnapshotPhase.READ)
    return stage.expect(last - 1, last, after=after)


def _settle(under_way: UnderWay, chunk: Chunk, *, published: bool) -> None:
    chunk.settle(published=published)
    assert under_way.await_oldest(1, lambda: True) is chunk


def test_a_table_is_read_on_behind_its_chunk_that_is_under_way() -> None:
    stage = Stage()
    under_way = _under_way(stage)
    assert under_way.before_next(OID) is stage.state
    first, second = _chunk(stage, 2), _chunk(stage, 4)
    under_way.add(first)
    assert under_way.before_next(OID) is first.after
    under_way.add(second)
    assert under_way.before_next(OID) is second.after
    _settle(under_way, first, published=True)
    assert under_way.before_next(OID) is second.after


def test_behind_a_chunk_that_was_not_published_nothing_is_read_until_all_are_settled() -> None:
    stage = Stage()
    under_way = _under_way(stage)
    first, second = _chunk(stage, 2), _chunk(stage, 4)
    under_way.add(first)
    under_way.add(second)
    _settle(under_way, first, published=False)
    assert under_way.before_next(OID) is None
    _settle(under_way, second, published=False)
    assert under_way.before_next(OID) is stage.state
    under_way.add(_chunk(stage, 2))
    assert under_way.before_next(OID) is not None  # the refusal is forgotten


def test_behind_the_last_chunk_of_a_table_nothing_is_read_but_another_table_is() -> None:
    stage = Stage()
    other = replace(stage.state, oid=OID + 1, name="public.others")
    stage.window.admit(other)
    under_way = _under_way(stage)
    last = _chunk(stage, 2, complete=True)
    under_way.add(last)
    assert under_way.before_next(OID) is None
    assert under_way.before_next(OID + 1) is other
    _settle(under_way, last, published=True)
    assert under_way.before_next(OID) is stage.state


def test_two_chunks_are_under_way_whatever_their_size_and_more_only_while_they_are_small() -> None:
    stage = Stage()
    for limits in ({"rows": 5}, {"size": "40B"}):  # a chunk has 2 rows and 14 bytes
        under_way = _under_way(stage, **limits)
        taken = 0
        while not under_way.is_full:
            under_way.add(_chunk(stage, 2))
            taken += 1
        assert taken == 3
    small = _under_way(stage, rows=1, size="1B")
    small.add(_chunk(stage, 2))
    assert not small.is_full
    small.add(_chunk(stage, 4))
    assert small.is_full


def test_the_number_of_small_chunks_under_way_is_bounded() -> None:
    stage = Stage()
    under_way = _under_way(stage)
    while not under_way.is_full:
        under_way.add(_chunk(stage, 2))
    assert len(under_way) == 50


def test_a_chunk_whose_marker_has_not_come_is_withdrawn() -> None:
    stage = Stage()
    under_way = _under_way(stage)
    chunk = _chunk(stage, 2)
    under_way.add(chunk)
    assert under_way.await_oldest(0, lambda: True) is None
    under_way.withdraw()
    assert chunk.settled.is_set()
    assert not stage.mark(chunk)
