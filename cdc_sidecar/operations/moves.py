"""Moves of the position by an operator: planned from an observation, made in one transaction.

A move is planned twice. The first plan is made from an observation, which disturbs no sidecar, so
that a wrong move is refused before any producer is fenced. The second plan is made from the
position that is read after the claim, and this plan counts (I2).
"""

import getpass
import os
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum

from cdc_sidecar.checks.continuity import Continuity
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import PositionOutOfReach, SidecarError, TransactionFailed
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.events.record import Record
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.kafka.claim import Claimant
from cdc_sidecar.kafka.position import Move, PositionRecord, SourceIdentity, instance
from cdc_sidecar.kafka.producer import Producer
from cdc_sidecar.kafka.schemas import read_log
from cdc_sidecar.operations.claimant import claimant_of
from cdc_sidecar.operations.exclusion import exclusive
from cdc_sidecar.operations.observation import observe_on
from cdc_sidecar.postgres.lsn import Lsn, format_lsn


class MoveKind(Enum):
    """The reason for a move of the position; the value is stored in the record."""

    ACCEPT_GAP = "accept-gap"
    NEW_SOURCE = "new-source"
    RESET = "reset"
    MOVE_SLOT = "move-slot"


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """A move that can be made."""

    kind: MoveKind
    goal: Lsn
    record: PositionRecord  # the one that the move replaces
    position: Position  # its position
    identity: SourceIdentity  # of the present source
    mismatch: SidecarError | None = None  # why the LSNs of the two sources cannot be compared
    snapshots: tuple[TableSnapshot, ...] = ()  # that are no longer complete, or begin again

    @property
    def bytes(self) -> int | None:
        """WAL from the position to the goal: negative for a move back, None across sources."""
        return None if self.mismatch else self.goal - self.position.end_lsn

    @property
    def loses_changes(self) -> bool:
        """Whether changes never come, as far as that is known."""
        return self.bytes is None or self.bytes > 0

    @property
    def partial(self) -> Partial | None:
        """The position inside a split transaction that the move discards."""
        return self.position.partial


@dataclass(frozen=True, slots=True)
class NothingToMove:
    """The reason why there is nothing to move."""

    reason: str


Outcome = PlannedMove | NothingToMove
Planner = Callable[[Continuity], Outcome]

_NO_POSITION = NothingToMove("there is no position yet: the next start is a first start")


def plan_acceptance(seen: Continuity, *, new_source: bool) -> Outcome:
    """Plan the move to the LSN at which the slot begins.

    Raises:
        SourceChanged, WalWentBack: the position is of another source, and `new_source` is not set.
        SlotMissing, SlotLost, SlotUnfit: there is no slot that can be used.

    """
    record, identity = seen.record, seen.source.identity
    if record is None or record.position is None:
        return _NO_POSITION
    mismatch = seen.mismatch
    if mismatch and not new_source:
        raise mismatch
    begin = seen.usable_slot(record.position).confirmed_flush_lsn
    if mismatch:
        goal = max(begin, _end_of_shared_history(seen, record.identity))
        kind = MoveKind.NEW_SOURCE
        return PlannedMove(kind, goal, record, record.position, identity, mismatch)
    if begin <= record.position.end_lsn:
        return _no_gap(begin, record.position)
    return PlannedMove(MoveKind.ACCEPT_GAP, begin, record, record.position, identity)


def _no_gap(begin: Lsn, position: Position) -> NothingToMove:
    return NothingToMove(
        f"the slot begins at {format_lsn(begin)}, which is not after the position"
        f" {format_lsn(position.end_lsn)}: no change is missing"
    )


def _end_of_shared_history(seen: Continuity, then: SourceIdentity) -> Lsn:
    """Return the LSN up to which the position's source and the present one have the same WAL.

    After a failover that lost WAL, this is the LSN at which the timelines part. Changes that were
    committed before it are published and need not be published again.
    """
    now = seen.source.identity
    same = replace(then, timeline=0, publication="") == replace(now, timeline=0, publication="")
    return seen.source.history.get(then.timeline, Lsn(0)) if same else Lsn(0)


def plan_reset(seen: Continuity, goal: Lsn) -> Outcome:
    """Plan the move to an LSN that an operator names.

    Raises:
        SourceChanged, WalWentBack: the position is of another source.
        SlotMissing, SlotLost, SlotUnfit: there is no slot that can be used.
        PositionOutOfReach: the slot cannot send the changes from that LSN on.

    """
    record = seen.record
    if record is None or record.position is None:
        return _NO_POSITION
    if seen.mismatch:
        raise seen.mismatch
    slot = seen.usable_slot(record.position)
    _check_reach(slot.confirmed_flush_lsn, goal, seen.source.wal_end)
    if record.position == Position(goal):
        return NothingToMove(f"the position is already {format_lsn(goal)}")
    return PlannedMove(MoveKind.RESET, goal, record, record.position, seen.source.identity)


def _check_reach(begin: Lsn, goal: Lsn, end: Lsn) -> None:
    hint = f"name an LSN from {format_lsn(begin)} to {format_lsn(end)}"
    if goal < begin:
        raise PositionOutOfReach(
            f"{format_lsn(goal)} is before {format_lsn(begin)}, where the slot begins",
            cause="the server has removed the WAL that was acknowledged: those changes are lost",
            hint=hint,
        )
    if goal > end:
        raise PositionOutOfReach(
            f"{format_lsn(goal)} is after {format_lsn(end)}, where the server's WAL ends",
            cause="changes that are still to come would be skipped",
            hint=hint,
        )


def plan_move(config: Config, planner: Planner) -> Outcome:
    """Plan a move and change nothing.

    Raises:
        SidecarRunning: a sidecar is running.
        SidecarError: the move is refused, or Postgres or Kafka is not available.

    """
    with exclusive(config) as connection:
        outcome = planner(observe_on(connection, config))
    if isinstance(outcome, PlannedMove):
        return _with_snapshots(outcome, read_log(config))
    return outcome


def make_move(config: Config, planner: Planner, reason: str | None) -> Outcome:
    """Plan a move and make it; return the move that was made.

    Raises:
        SidecarRunning: a sidecar is running; nothing was changed.
        SidecarError: the move is refused, or Postgres or Kafka is not available; the position was
            not moved.
        TransactionFailed: whether the position was moved is not known.

    """
    with exclusive(config) as connection:
        seen = observe_on(connection, config)
        planned = planner(seen)
        if isinstance(planned, NothingToMove):
            return planned
        claimant = claimant_of(config)
        claim = claimant.claim()
        planned = planner(replace(seen, record=claim.record))
        if isinstance(planned, PlannedMove):
            log = read_log(config)
            planned = _with_snapshots(planned, log)
            before = claimant.internal.schema_records(log.drain())
            _write(claimant, claim.producer, _moved(planned, reason), before)
        return planned


def _with_snapshots(planned: PlannedMove, log: SchemaLog) -> PlannedMove:
    """Note in the log, and in the plan, which snapshots a move makes incomplete."""
    if not planned.loses_changes:
        return planned
    return replace(planned, snapshots=tuple(log.snapshots.lose_changes()))


def _moved(planned: PlannedMove, reason: str | None) -> PositionRecord:
    move = operator_move(planned.kind, planned.position.end_lsn, planned.goal, reason)
    return planned.record.reset(move, planned.identity, instance())


def operator_move(kind: MoveKind, start: Lsn, goal: Lsn, reason: str | None) -> Move:
    """Return the note of a move that the present user makes now."""
    by = f"{_user()}@{socket.gethostname()}"
    return Move(time.time_ns() // 1000, kind.value, start, goal, reason, by)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user of a container may have no name
        return str(os.getuid())


def _write(
    claimant: Claimant, producer: Producer, record: PositionRecord, before: Iterable[Record]
) -> None:
    try:
        claimant.write(producer, record, *before)
    except TransactionFailed as error:
        raise TransactionFailed(
            error.fact,
            cause="the brokers became unavailable during the transaction",
            hint="`cdc-sidecar position show` shows whether the position was moved",
        ) from error
