"""The plan of a move of the position, made from a given observation; no server is asked."""

from dataclasses import replace

import pytest

from cdc_sidecar.checks.continuity import Continuity, SourceState
from cdc_sidecar.errors import PositionOutOfReach, SourceChanged, WalWentBack
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.kafka.position import (
    MOVES_KEPT,
    Move,
    PositionRecord,
    SourceIdentity,
    decode_position,
)
from cdc_sidecar.operations.moves import (
    MoveKind,
    NothingToMove,
    PlannedMove,
    plan_acceptance,
    plan_reset,
)
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.slot import SlotStatus

SOURCE = SourceIdentity("7", 1, "orders", 5, "orders_cdc", "cdc")
PARTIAL = Partial(Lsn(1500), 9, Lsn(1200), 0, 2, 10)


def seen(
    end: int, begin: int, wal_end: int = 10_000, identity: SourceIdentity = SOURCE
) -> Continuity:
    """Return a position at `end` beside a slot that begins at `begin`."""
    idle = (False, None)  # permanent, nobody reads it
    slot = SlotStatus(
        identity.slot, "pgoutput", "orders", *idle, Lsn(begin), "reserved", None, None, 0, 0, None
    )
    record = PositionRecord(SOURCE, Position(Lsn(end)), 3, "print", "host/1", 0)
    return Continuity(record, SourceState(identity, slot, Lsn(wal_end), {}))


def planned(outcome: PlannedMove | NothingToMove) -> PlannedMove:
    assert isinstance(outcome, PlannedMove)
    return outcome


def test_a_gap_ends_where_the_slot_begins() -> None:
    move = planned(plan_acceptance(seen(1000, 1400), new_source=False))
    assert (move.kind, move.goal, move.bytes) == (MoveKind.ACCEPT_GAP, 1400, 400)


def test_a_slot_that_begins_at_the_position_leaves_nothing_to_accept() -> None:
    for new_source in (True, False):
        outcome = plan_acceptance(seen(1000, 1000), new_source=new_source)
        assert isinstance(outcome, NothingToMove)


def test_an_upgraded_server_is_adopted_at_its_slot_only_when_that_is_said() -> None:
    upgraded = seen(1000, 800, identity=replace(SOURCE, system_identifier="8"))
    with pytest.raises(SourceChanged):
        plan_acceptance(upgraded, new_source=False)
    move = planned(plan_acceptance(upgraded, new_source=True))
    assert (move.kind, move.goal, move.bytes) == (MoveKind.NEW_SOURCE, 800, None)
    assert move.identity.system_identifier == "8"


def test_a_restored_backup_behind_the_position_is_adopted_only_when_that_is_said() -> None:
    restored = seen(1000, 800, wal_end=900)
    with pytest.raises(WalWentBack):
        plan_acceptance(restored, new_source=False)
    with pytest.raises(WalWentBack):
        plan_reset(restored, Lsn(850))
    assert planned(plan_acceptance(restored, new_source=True)).goal == 800


def test_after_a_failover_that_lost_wal_what_both_timelines_share_is_not_repeated() -> None:
    now = seen(1000, 800, identity=replace(SOURCE, timeline=2))
    failed_over = replace(now, source=replace(now.source, history={1: Lsn(950)}))
    assert planned(plan_acceptance(failed_over, new_source=True)).goal == 950


def test_a_reset_may_go_from_where_the_slot_begins_to_where_the_wal_ends() -> None:
    now = seen(1000, 800)
    for goal in (800, 10_000):
        assert planned(plan_reset(now, Lsn(goal))).bytes == goal - 1000
    for goal in (799, 10_001):
        with pytest.raises(PositionOutOfReach):
            plan_reset(now, Lsn(goal))


def test_a_reset_to_the_position_itself_does_something_only_inside_a_transaction() -> None:
    now = seen(1000, 800)
    assert isinstance(plan_reset(now, Lsn(1000)), NothingToMove)
    assert now.record
    split = replace(now.record, position=Position(Lsn(1000), PARTIAL))
    move = planned(plan_reset(replace(now, record=split), Lsn(1000)))
    assert move.partial == PARTIAL


def test_a_move_discards_the_partial_position_and_is_one_commit_more() -> None:
    record = PositionRecord(SOURCE, Position(Lsn(1000), PARTIAL), 3, "print", "host/1", 0)
    move = Move(77, "reset", Lsn(1000), Lsn(900), None, "me@here")
    moved = record.reset(move, SOURCE, "host/2")
    assert moved.position == Position(Lsn(900))
    assert (moved.commits, moved.written_at, moved.instance) == (4, 77, "host/2")


def test_the_last_ten_moves_are_kept_through_the_record_s_json() -> None:
    record = PositionRecord(SOURCE, Position(Lsn(0)), 0, "print", "host/1", 0)
    for number in range(MOVES_KEPT + 3):
        move = Move(number, "reset", Lsn(number), Lsn(number + 1), f"why {number}", "me@here")
        record = record.reset(move, SOURCE, "host/1")
    kept = decode_position(record.encode()).resets
    assert kept == record.resets
    assert [move.at for move in kept] == list(range(3, MOVES_KEPT + 3))
