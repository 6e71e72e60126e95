"""Moves of the position by a person: planned from what stands, made in one Kafka transaction.

A move is planned twice: on a look, which disturbs nobody and refuses before anyone is fenced, and
again on the position that is read after the claim, which counts (I2).
"""

import getpass
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import PositionOutOfReach, SidecarError, TransactionFailed
from cdc_sidecar.events.names import position_topic
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.events.record import Record
from cdc_sidecar.kafka.client import admin_client
from cdc_sidecar.kafka.position import Move, PositionRecord, SourceIdentity, read_position
from cdc_sidecar.kafka.producer import TransactionalProducer, producer_settings
from cdc_sidecar.kafka.read import committed_reader, high_watermark
from cdc_sidecar.kafka.topics import DEFAULT_LIMIT
from cdc_sidecar.postgres.lsn import Lsn, format_lsn
from cdc_sidecar.postgres.slot import SlotStatus
from cdc_sidecar.runtime import preflight
from cdc_sidecar.runtime.claim import instance
from cdc_sidecar.runtime.exclusion import exclusive
from cdc_sidecar.runtime.standing import Standing, read_standing


class MoveKind(Enum):
    """Why the position is moved, as the record tells it."""

    ACCEPT_GAP = "accept-gap"
    NEW_SOURCE = "new-source"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Plan:
    """A move that can be made."""

    kind: MoveKind
    goal: Lsn
    record: PositionRecord  # the one that the move replaces
    position: Position  # its position
    identity: SourceIdentity  # of the source as it is now
    stranger: SidecarError | None = None  # why LSNs of then and now do not compare

    @property
    def bytes(self) -> int | None:
        """WAL from the position to the goal, negative where it goes back; None across sources."""
        return None if self.stranger else self.goal - self.position.end_lsn

    @property
    def partial(self) -> Partial | None:
        """The split transaction that the move forgets."""
        return self.position.partial


@dataclass(frozen=True, slots=True)
class NothingToMove:
    """Why there is no move to make."""

    reason: str


Outcome = Plan | NothingToMove
Planner = Callable[[Standing], Outcome]

_NO_POSITION = NothingToMove("there is no position yet: the next start is a first start")


def plan_acceptance(standing: Standing, *, new_source: bool) -> Outcome:
    """Plan the move to where the slot begins.

    Raises:
        SourceChanged, WalWentBack: the position is of another source, and that was not said.
        SlotMissing, SlotLost, SlotUnfit: there is no slot to go on with.

    """
    record = standing.record
    if record is None or record.position is None:
        return _NO_POSITION
    stranger = standing.stranger()
    if stranger and not new_source:
        raise stranger
    slot = _slot(standing, record.position)
    begin, end = slot.confirmed_flush_lsn, record.position.end_lsn
    if stranger:
        goal = max(begin, _shared(standing, record.identity))
        kind = MoveKind.NEW_SOURCE
        return Plan(kind, goal, record, record.position, standing.identity, stranger)
    if begin <= end:
        return NothingToMove(
            f"slot {slot.name} begins at {format_lsn(begin)}, not after the position"
            f" {format_lsn(end)}: no change is missing"
        )
    return Plan(MoveKind.ACCEPT_GAP, begin, record, record.position, standing.identity)


def _slot(standing: Standing, position: Position) -> SlotStatus:
    return preflight.check_slot(position, standing.slot, standing.system, standing.identity)


def _shared(standing: Standing, then: SourceIdentity) -> Lsn:
    """Return up to where the source of then and that of now have one history.

    After a failover that lost WAL it ends where the timelines part: what was committed before is
    published, and need not be again.
    """
    now = standing.identity
    same = replace(then, timeline=0, publication="") == replace(now, timeline=0, publication="")
    return standing.history.get(then.timeline, Lsn(0)) if same else Lsn(0)


def plan_reset(standing: Standing, goal: Lsn) -> Outcome:
    """Plan the move to an LSN that a person names.

    Raises:
        SourceChanged, WalWentBack: the position is of another source.
        SlotMissing, SlotLost, SlotUnfit: there is no slot to go on with.
        PositionOutOfReach: the slot has nothing from there on.

    """
    record = standing.record
    if record is None or record.position is None:
        return _NO_POSITION
    stranger = standing.stranger()
    if stranger:
        raise stranger
    slot = _slot(standing, record.position)
    _check_reach(slot.confirmed_flush_lsn, goal, standing.system.flushed_lsn)
    if record.position == Position(goal):
        return NothingToMove(f"the position is {format_lsn(goal)} already")
    return Plan(MoveKind.RESET, goal, record, record.position, standing.identity)


def _check_reach(begin: Lsn, goal: Lsn, end: Lsn) -> None:
    hint = f"name an LSN from {format_lsn(begin)} to {format_lsn(end)}"
    if goal < begin:
        raise PositionOutOfReach(
            f"{format_lsn(goal)} lies before {format_lsn(begin)}, where the slot begins",
            cause="the server has let go of what was acknowledged: those changes are gone",
            hint=hint,
        )
    if goal > end:
        raise PositionOutOfReach(
            f"{format_lsn(goal)} lies after {format_lsn(end)}, where the server's WAL ends",
            cause="changes that are still to come would be skipped",
            hint=hint,
        )


def look_ahead(config: Config, planner: Planner) -> Outcome:
    """Plan a move and change nothing.

    Raises:
        SidecarRunning: a sidecar lives.
        SidecarError: the move is refused, or Postgres or Kafka is away.

    """
    with exclusive(config) as connection:
        return planner(read_standing(config, connection))


def make_move(config: Config, planner: Planner, reason: str | None) -> Outcome:
    """Plan a move and make it; what is returned was made.

    Raises:
        SidecarRunning: a sidecar lives; nothing was touched.
        SidecarError: the move is refused, or Postgres or Kafka is away; nothing was moved.
        TransactionFailed: whether it was moved is not known.

    """
    with exclusive(config) as connection:
        standing = read_standing(config, connection)
        planned = planner(standing)
        if isinstance(planned, NothingToMove):
            return planned
        producer = fence(config)
        planned = planner(replace(standing, record=_read_decided(config)))
        if isinstance(planned, Plan):
            _write(config, producer, _moved(planned, reason))
        return planned


def fence(config: Config) -> TransactionalProducer:
    """Fence every producer of the sidecar's transactional id.

    Raises:
        KafkaUnavailable, KafkaRefused: the brokers do not let us.

    """
    settings = producer_settings(
        config.kafka,
        config.publish,
        config.transactional_id,
        smallest=DEFAULT_LIMIT,
    )
    producer = TransactionalProducer(settings)
    producer.claim(lambda: False)
    return producer


def _read_decided(config: Config) -> PositionRecord | None:
    topic = position_topic(config.service.name)
    high = high_watermark(admin_client(config.kafka), topic)
    reader = committed_reader(config.kafka)
    try:
        return read_position(reader, topic, config.transactional_id, high)
    finally:
        reader.close()


def _moved(plan: Plan, reason: str | None) -> PositionRecord:
    now = time.time_ns() // 1000
    by = f"{_user()}@{socket.gethostname()}"
    move = Move(now, plan.kind.value, plan.position.end_lsn, plan.goal, reason, by)
    return plan.record.reset(move, plan.identity, instance())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return str(os.getuid())


def _write(config: Config, producer: TransactionalProducer, record: PositionRecord) -> None:
    topic = position_topic(config.service.name)
    try:
        producer.begin()
        key = config.transactional_id.encode()
        producer.produce([Record(topic, record.encode(), key, 0)])
        producer.commit()
    except TransactionFailed as error:
        producer.abort()
        raise TransactionFailed(
            error.fact,
            cause="the brokers went away in the middle",
            hint="see with `cdc-sidecar position show` whether the position was moved",
        ) from error
