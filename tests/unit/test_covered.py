"""The range that a chunk covers is one in which no row of the table is left out."""

from dataclasses import replace
from typing import Any

import pytest

from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.snapshot.covered import CoveredRange, covered_by
from cdc_sidecar.events.snapshot.progress import SnapshotPhase
from tests.unit.snapshots import Stage

READING, READ, DONE = SnapshotPhase.READING, SnapshotPhase.READ, SnapshotPhase.DONE
_KEYED: dict[str, Any] = {"by": "key", "columns": ("id",), "storage": 7, "bound": ("90",)}


def _covered(before: dict[str, Any], **after: Any) -> CoveredRange | None:  # noqa: ANN401 - fields
    """Return the range of a chunk between two states of progress; it was marked at 50."""
    stage = Stage(**{**_KEYED, **before})
    chunk = stage.expect(1)
    return covered_by(chunk, replace(stage.state, **after), 50)


def _between(after: str | None, upto: str) -> CoveredRange:
    return CoveredRange("public.items", ("id",), (after,) if after else None, (upto,), 50)


def test_chunks_by_key_cover_what_lies_between_their_cursors() -> None:
    assert _covered({"cursor": None}, cursor=("10",)) == _between(None, "10")
    assert _covered({"cursor": ("10",)}, cursor=("20",)) == _between("10", "20")
    assert _covered({"cursor": ("20",)}, phase=READ) == _between("20", "90")
    assert _covered({"cursor": ("20",), "storage": 6}, cursor=("5",), storage=7) == _between(
        None, "5"
    )


def test_the_end_covers_the_whole_table_since_its_first_chunk() -> None:
    whole = CoveredRange("public.items", ("id",), None, None, 30)
    for by in ("key", "ctid"):
        before = {"cursor": ("20",), "by": by, "since": 30}
        assert _covered(before, phase=DONE) == whole
        assert _covered({**before, "phase": READ}, phase=DONE) == whole


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"by": "ctid", "cursor": ("3",)}, {"cursor": ("4",)}),
        ({"phase": READ, "cursor": ("20",)}, {}),  # owed rows: the others were sent before
        ({"cursor": ("20",), "where": "n = 1"}, {"cursor": ("30",)}),
        ({"cursor": None, "bound": None}, {"phase": READ}),
    ],
    ids=["pages", "owed rows", "a part", "an empty table"],
)
def test_other_chunks_cover_nothing(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert _covered(before, **after) is None


def test_the_first_change_that_a_chunk_did_not_see_is_where_its_range_begins() -> None:
    stage = Stage(**_KEYED, cursor=("0",))
    stage.window.changed(99, 4000, stage.state.oid, (b"1",), frozenset())  # seen
    stage.window.changed(150, 4500, stage.state.oid, (b"2",), frozenset())
    after: TableSnapshot = replace(stage.state, cursor=("10",))
    assert stage.mark(stage.expect(1, 2, after=after))
    assert stage.mark(stage.expect(11, after=replace(stage.state, cursor=("20",))))
    assert [covered.since for covered in stage.covered] == [4500, 4500]
    assert stage.state.since == 4500
