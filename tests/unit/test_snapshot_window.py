"""Where chunks meet the stream: which rows come out, which values are filled in, what is owed."""

import json
from dataclasses import replace
from random import Random

import pytest

from cdc_sidecar.errors import RecordTooLarge
from cdc_sidecar.events.copy_line import fields_of
from cdc_sidecar.events.snapshot import changes
from cdc_sidecar.events.snapshot.changes import RecentChanges
from cdc_sidecar.events.snapshot.progress import SnapshotPhase
from cdc_sidecar.postgres.pgoutput import UNCHANGED
from cdc_sidecar.postgres.visibility import Visibility, is_younger
from tests.effort import chance
from tests.unit import wire
from tests.unit.snapshots import (
    ITEMS,
    LABEL,
    NOTHING,
    SEES_BELOW_100,
    Stage,
    Transaction,
    identity,
)

OID = ITEMS.oid
EPOCH = 1 << 32


def _update(number: int, label: wire.Cell = UNCHANGED, was: int | None = None, n: int = 1) -> bytes:
    key = None if was is None else (str(was), None, None)
    return wire.update(OID, (str(number), str(n), label), key=key)


# --- what a snapshot sees


@pytest.mark.parametrize(
    ("xmax", "xid", "wide"),
    [
        (100, 99, 99),
        (100, 100, 100),
        (3 * EPOCH + 10, 9, 3 * EPOCH + 9),
        (3 * EPOCH + 10, EPOCH - 5, 3 * EPOCH - 5),  # before the ids began again
        (3 * EPOCH - 5, 7, 3 * EPOCH + 7),  # after they will
        (3 * EPOCH + 760, 760 - 2**31 + EPOCH, 3 * EPOCH + 760 - 2**31),
        (EPOCH, 0, EPOCH),
    ],
)
def test_an_id_of_the_stream_is_the_one_nearest_to_the_snapshot(
    xmax: int, xid: int, wide: int
) -> None:
    assert Visibility(xmax, xmax, frozenset()).widen(xid) == wide


def test_a_snapshot_sees_what_is_older_and_does_not_run() -> None:
    seen = Visibility.parse("12884901885:12884901893:12884901887,12884901889")
    assert seen.xmax == 3 * EPOCH + 5
    visible = {xid for xid in (*range(EPOCH - 4, EPOCH), *range(8)) if seen.sees(xid)}
    assert visible == {EPOCH - 4, EPOCH - 3, EPOCH - 2, 0, 2, 3, 4}
    assert Visibility.parse("7:7:").running == frozenset()
    with pytest.raises(ValueError, match="unpack"):
        Visibility.parse("7:7")


def test_the_younger_id_is_known_round_the_wrap() -> None:
    assert is_younger(5, 4)
    assert is_younger(3, EPOCH - 3)
    assert not is_younger(EPOCH - 3, 3)
    assert not is_younger(4, 4)


# --- changes that a snapshot may not see


def test_changes_of_a_row_miss_what_none_of_them_had() -> None:
    recent = RecentChanges()
    recent.add(101, 5000, OID, identity(1), frozenset({1, 2}))
    recent.add(101, 5000, OID, identity(1), frozenset({2, 3}))
    recent.add(102, 5000, OID, identity(1), frozenset({2}))
    recent.add(102, 5000, OID, identity(2), LABEL)
    recent.add(102, 5000, OID + 1, identity(3), LABEL)
    assert recent.unseen(SEES_BELOW_100, OID) == {identity(1): LABEL, identity(2): LABEL}
    assert recent.missing(SEES_BELOW_100, OID, identity(1)) == LABEL
    assert recent.missing(SEES_BELOW_100, OID, identity(3)) is None
    recent.add(103, 5000, OID, identity(1), NOTHING)
    assert recent.missing(SEES_BELOW_100, OID, identity(1)) == NOTHING
    half = Visibility(101, 103, frozenset({102}))
    assert recent.unseen(half, OID) == {identity(1): NOTHING, identity(2): LABEL}
    recent.prune(half)
    assert recent.unseen(SEES_BELOW_100, OID) == {identity(1): NOTHING, identity(2): LABEL}
    recent.prune(Visibility(200, 200, frozenset()))
    assert not recent.unseen(SEES_BELOW_100, OID)


def test_after_too_many_changes_a_snapshot_must_see_the_youngest_that_was_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changes, "LIMIT", 5)
    monkeypatch.setattr(changes, "_PRUNE", 10)
    recent = RecentChanges()
    for number, xid in enumerate(
        (EPOCH - 2, 3, *[EPOCH - 1] * 8)
    ):  # 3 began last, not committed last
        recent.add(xid, 5000, OID, identity(number), NOTHING)
    assert not recent.unseen(Visibility(EPOCH - 5, EPOCH - 5, frozenset()), OID)
    assert not recent.allow(Visibility(EPOCH + 3, EPOCH + 9, frozenset({EPOCH + 3})))
    assert not recent.allow(Visibility(EPOCH + 3, EPOCH + 3, frozenset()))
    assert recent.allow(Visibility(EPOCH + 4, EPOCH + 9, frozenset({EPOCH + 4})))
    assert recent.allow(Visibility(EPOCH, EPOCH, frozenset())), "it is seen for good"


def test_nothing_is_filled_in_once_changes_were_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "LIMIT", 5)
    monkeypatch.setattr(changes, "_PRUNE", 10)
    stage = Stage()
    chunk = stage.expect(1)
    stage.change(150, _update(1, "new"))
    for number in range(100, 110):
        stage.change(150, _update(number, "new"))
    assert stage.change(150, _update(1))[2] is UNCHANGED
    assert not stage.mark(chunk)
    assert not stage.rows.published


# --- the marker


def test_a_chunk_without_changes_is_published_as_it_was_read() -> None:
    stage = Stage()
    chunk = stage.expect(1, 2, after=replace(stage.state, cursor=("2",)))
    stage.change(99, _update(1, "seen"))
    assert stage.mark(chunk)
    assert stage.rows.published == [b"row 1", b"row 2"]
    assert (stage.state.cursor, stage.state.rows) == (("2",), 2)


def test_a_marker_of_another_transaction_or_session_publishes_nothing() -> None:
    stage = Stage()
    chunk = stage.expect(1)
    stage.mark(chunk, xid=999)
    stage.window.mark(Transaction(1000), b"unknown")  # type: ignore[arg-type]
    assert not chunk.settled.is_set()
    stage.window.withdraw(chunk)
    assert chunk.settled.is_set()
    stage.mark(chunk)
    assert not stage.rows.published


def test_a_chunk_that_does_not_follow_the_progress_is_not_published() -> None:
    stage = Stage()
    first = stage.expect(1, after=replace(stage.state, cursor=("1",)))
    second = stage.expect(2, after=replace(stage.state, cursor=("2",)))
    assert stage.mark(first)
    assert not stage.mark(second)
    assert stage.rows.published == [b"row 1"]


def test_unseen_changes_take_their_rows_out_before_and_after_the_chunk_is_read() -> None:
    stage = Stage()
    stage.change(150, _update(1, "new"))
    chunk = stage.expect(1, 2, 3, 4, 5)
    stage.change(151, wire.delete(OID, key=("2", None, None)))
    stage.change(152, wire.insert(OID, ("9", "1", "new")))
    stage.change(153, _update(8, "new", was=3))
    stage.change(154, _update(4, None))
    assert stage.mark(chunk)
    assert stage.rows.published == [b"row 5"]
    assert stage.owed == []


def test_a_row_that_the_topic_does_not_take_fails_the_table() -> None:
    stage = Stage()
    stage.rows.error = RecordTooLarge("9 bytes", hint="raise it")
    assert not stage.mark(stage.expect(1))
    assert stage.state.phase == "failed"
    assert "9 bytes" in stage.state.error
    assert stage.rows.unwatched == [OID]


# --- unchanged values


def test_a_value_that_was_not_sent_is_filled_in_from_the_chunk() -> None:
    stage = Stage()
    chunk = stage.expect(1, 2)
    assert stage.change(150, _update(1)) == [b"1", b"1", b"old"]
    assert stage.change(151, _update(7, was=2)) == [b"7", b"1", b"old"]
    assert stage.mark(chunk)
    assert (stage.rows.published, stage.owed) == ([], [])


def test_a_change_that_the_chunk_has_seen_is_not_filled_in() -> None:
    stage = Stage()
    chunk = stage.expect(1)
    assert stage.change(99, _update(1))[2] is UNCHANGED
    assert stage.mark(chunk)
    assert stage.rows.published == [b"row 1"]


def test_a_value_that_an_unseen_change_has_set_is_not_filled_in() -> None:
    stage = Stage()
    stage.expect(1, 2)
    stage.change(150, _update(1, "new"))
    assert stage.change(151, _update(1))[2] is UNCHANGED
    stage.change(152, wire.delete(OID, key=("2", None, None)))
    stage.change(153, wire.insert(OID, ("2", "1", "another row")))
    assert stage.change(154, _update(2))[2] is UNCHANGED


def test_a_row_without_all_of_its_values_is_owed_until_an_event_or_a_chunk_has_them() -> None:
    stage = Stage()
    stage.change(150, _update(1))
    stage.change(150, _update(2))
    read = replace(stage.state, phase=SnapshotPhase.READ, cursor=("3",))
    chunk = stage.expect(1, 2, 3, after=read)
    assert stage.mark(chunk)
    assert stage.rows.published == [b"row 3"]
    assert stage.owed == ["1", "2"]
    stage.change(160, _update(1, "new"))
    assert stage.owed == ["2"]
    again = stage.expect(2, seen=Visibility(200, 200, frozenset()), asked=(2,))
    assert stage.mark(again)
    assert stage.rows.published == [b"row 3", b"row 2"]
    assert (stage.owed, stage.state.phase) == ([], "done")
    assert stage.rows.unwatched == [OID]


def test_an_owed_row_that_is_not_found_stays_owed_while_its_change_is_unseen() -> None:
    stage = Stage(phase=SnapshotPhase.READ, owed=(("1",),))
    stage.change(150, _update(1, was=5))
    assert stage.mark(stage.expect(asked=(1,)))
    assert (stage.owed, stage.state.phase) == (["1"], "read")
    assert stage.mark(stage.expect(asked=(1,), seen=Visibility(151, 151, frozenset())))
    assert stage.state.phase == "done", "it was deleted"


def test_a_deleted_row_is_not_owed_any_more() -> None:
    stage = Stage(phase=SnapshotPhase.READ, owed=(("1",), ("2",)))
    stage.change(150, wire.delete(OID, key=("1", None, None)))
    stage.change(151, _update(3, "new", was=2))
    assert stage.owed == []
    assert stage.mark(stage.expect())
    assert stage.state.phase == "done"


def test_a_new_key_is_owed_at_once_if_a_value_was_not_sent() -> None:
    stage = Stage()
    message = wire.frame(1, _update(7, was=2))
    transaction = Transaction(150)
    stage.table.update(transaction, message)  # type: ignore[arg-type]
    assert stage.owed == ["7"]
    assert [json.loads(value)["owed"] for _, value in transaction.written] == [[["7"]]]


def test_a_row_that_the_row_filter_lets_in_is_owed_if_a_value_was_not_sent() -> None:
    stage = Stage()
    stage.change(150, wire.insert(OID, ("7", "1", UNCHANGED)))
    assert stage.owed == ["7"]


def test_a_table_that_is_begun_anew_keeps_only_debts_that_it_has_not_seen() -> None:
    stage = Stage(owed=(("1",),), storage=1)
    stage.change(150, _update(7, was=2))
    assert stage.mark(stage.expect(1, after=replace(stage.state, storage=2)))
    assert stage.owed == ["7"]


# --- random histories of one row, against the definition


def test_a_reader_has_each_row_as_the_stream_has_left_it_whatever_is_unseen() -> None:
    dice = chance("window")
    for _ in range(300):
        _play(dice)


def _play(dice: Random) -> None:
    """Change a row five times, read it in between, and compare what a reader has with the row."""
    stage, chunk = Stage(), None
    seen, read_at = sorted((dice.randint(0, 4), dice.randint(0, 4)))
    row = seen_row = ["1", "0", "old"]
    reader: dict[int, object] = {}
    for step in range(5):
        if step == read_at:  # the chunk is read now, and sees the first `seen` changes
            chunk = stage.expect(1, seen=Visibility(100 + seen, 100 + seen, frozenset()))
            chunk.lines = ["\t".join(seen_row).encode() + b"\n"]
            chunk.rows = [(chunk.lines[0], None)]
        label = f"label {step}" if dice.random() < 0.3 else UNCHANGED
        row = ["1", str(step), row[2] if label is UNCHANGED else str(label)]
        seen_row = row if step < seen else seen_row
        event = stage.change(100 + step, _update(1, label, n=step))
        reader |= {place: value for place, value in enumerate(event) if value is not UNCHANGED}
    assert chunk is not None
    assert stage.mark(chunk)
    for line in stage.rows.published:
        reader = dict(enumerate(fields_of(line)))
    wanted = dict(enumerate(cell.encode() for cell in row))
    assert reader == wanted or stage.owed == ["1"]
    assert reader | {2: wanted[2]} == wanted
