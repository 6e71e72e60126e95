"""The move of a service's position to another slot, or to another transactional id.

A service has one position. It is stored under the transactional id, which contains the slot's name
unless `kafka.transactional_id` is set. The move writes the position under the configured id and
removes it under the earlier one, in one Kafka transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cdc_sidecar.checks.continuity import Continuity, SourceState
from cdc_sidecar.checks.source import read_source
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import PositionElsewhere, SlotMissing
from cdc_sidecar.events.position import Position
from cdc_sidecar.events.record import Record
from cdc_sidecar.kafka.claim import InternalTopics
from cdc_sidecar.kafka.position import PositionRecord, SourceIdentity, instance, read_positions
from cdc_sidecar.kafka.read import committed_reader
from cdc_sidecar.kafka.schemas import read_log
from cdc_sidecar.operations.claimant import claimant_of
from cdc_sidecar.operations.exclusion import exclusive, lock
from cdc_sidecar.operations.moves import MoveKind, NothingToMove, operator_move
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.lsn import Lsn, format_lsn
from cdc_sidecar.postgres.slot import SlotStatus, copy_slot, read_slot
from cdc_sidecar.postgres.walsender import WalsenderConnection


@dataclass(frozen=True, slots=True)
class SlotMove:
    """A move of the position that can be made."""

    transactional_id: str  # under which the position is stored now
    record: PositionRecord
    position: Position  # the record's position
    goal: Lsn
    identity: SourceIdentity  # of the present source, with the configured slot
    copied: bool  # the configured slot does not exist: it is created as a copy of the earlier one
    earlier: str | None  # the earlier slot, if it exists; it is not dropped

    @property
    def bytes(self) -> int:
        """WAL between the position and the goal: its changes are lost."""
        return self.goal - self.position.end_lsn


SlotMoveOutcome = SlotMove | NothingToMove


def plan_slot_move(config: Config, chosen: str | None = None) -> SlotMoveOutcome:
    """Plan the move to the configured slot and change nothing.

    `chosen` is the transactional id whose position is moved; it is needed if there are several.

    Raises:
        SidecarRunning: a sidecar is running on one of the two slots.
        PositionElsewhere: there are several positions, and none was chosen.
        SourceChanged, WalWentBack: the position is of another source.
        SlotMissing, SlotLost, SlotUnfit: there is no slot that can be used.

    """
    with exclusive(config) as connection:
        return _plan(config, connection, chosen)


def move_slot(config: Config, chosen: str | None, reason: str | None) -> SlotMoveOutcome:
    """Plan the move and make it; return the move that was made.

    Raises:
        SidecarError: as in `plan_slot_move`, or Postgres or Kafka is not available.
        TransactionFailed: whether the position was moved is not known.

    """
    with exclusive(config) as connection:
        planned = _plan(config, connection, chosen)
        if isinstance(planned, SlotMove):
            _fence(config, planned)
            if planned.copied:
                _copy_slot(config, planned.record.identity.slot)
            planned = _claim_and_write(config, connection, chosen, reason)
        return planned


def _claim_and_write(
    config: Config, connection: WalsenderConnection, chosen: str | None, reason: str | None
) -> SlotMoveOutcome:
    """Plan once more after the fence, because this position counts (I2), and write it."""
    claimant = claimant_of(config)
    producer, _ = claimant.fence()
    planned = _plan(config, connection, chosen)
    if isinstance(planned, SlotMove):
        removed = _removal(claimant.internal, planned.transactional_id)
        log = read_log(config)
        if planned.bytes:
            log.snapshots.lose_changes()
        noted = claimant.internal.schema_records(log.drain())
        claimant.write(producer, _moved(planned, reason), *removed, *noted)
    producer.drop()
    return planned


def _plan(config: Config, connection: WalsenderConnection, chosen: str | None) -> SlotMoveOutcome:
    found = _choose(_read_positions(config), config, chosen)
    if found is None:
        return NothingToMove(f"no position belongs to another slot than {config.postgres.slot}")
    key, record, position = found
    if record.identity.slot != config.postgres.slot:
        lock(connection, record.identity.slot)
    source, earlier = _read_slots(config, connection, record)
    slot = _usable(source.slot or earlier, position, config)
    goal = max(slot.confirmed_flush_lsn, position.end_lsn)
    kept = earlier.name if earlier else None
    return SlotMove(key, record, position, goal, source.identity, source.slot is None, kept)


def _read_slots(
    config: Config, connection: WalsenderConnection, record: PositionRecord
) -> tuple[SourceState, SlotStatus | None]:
    """Return the source, which must be the position's, and the earlier slot."""
    database = Database(config.postgres)
    try:
        source = read_source(connection, database, config)
        with database.connection() as ordinary:
            earlier = read_slot(ordinary, record.identity.slot)
    finally:
        database.close()
    same = replace(record, identity=replace(record.identity, slot=config.postgres.slot))
    mismatch = Continuity(same, source).mismatch
    if mismatch:
        raise mismatch
    return source, earlier


def _choose(
    positions: Mapping[str, PositionRecord], config: Config, chosen: str | None
) -> tuple[str, PositionRecord, Position] | None:
    """Return the position to move; None if every position is where it should be."""
    configured = (config.transactional_id, config.postgres.slot)
    movable = {
        key: (key, record, record.position)
        for key, record in positions.items()
        if record.position and (key, record.identity.slot) != configured and chosen in (None, key)
    }
    _check_single({key: record for key, record, _ in movable.values()})
    return next(iter(movable.values()), None)


def _check_single(movable: Mapping[str, PositionRecord]) -> None:
    if len(movable) > 1:
        spelled = ", ".join(f"{key} (slot {movable[key].identity.slot})" for key in sorted(movable))
        raise PositionElsewhere(
            f"the service has several positions: {spelled}",
            hint="name the one to move with --from",
        )


def _usable(slot: SlotStatus | None, position: Position, config: Config) -> SlotStatus:
    name = config.postgres.slot
    if slot is None:
        raise SlotMissing(
            f"neither slot {name} nor the earlier one exists; everything up to"
            f" {format_lsn(position.end_lsn)} is published",
            cause="the earlier slot was dropped: the changes since then are lost",
            hint=f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput'); then run this"
            " command again, which shows the gap",
        )
    slot.check(slot.database)
    return slot


def _read_positions(config: Config) -> dict[str, PositionRecord]:
    reader = committed_reader(config.kafka)
    try:
        return read_positions(reader, InternalTopics.of(config).position)
    finally:
        reader.close()


def _fence(config: Config, planned: SlotMove) -> None:
    """Fence every producer of the earlier transactional id: it can commit nothing any more."""
    kafka = config.kafka.model_copy(update={"transactional_id": planned.transactional_id})
    postgres = config.postgres.model_copy(update={"slot": planned.record.identity.slot})
    earlier = config.model_copy(update={"kafka": kafka, "postgres": postgres})
    producer, _ = claimant_of(earlier).fence()
    producer.drop()


def _copy_slot(config: Config, earlier: str) -> None:
    database = Database(config.postgres)
    try:
        with database.connection() as connection:
            copy_slot(connection, earlier, config.postgres.slot)
    finally:
        database.close()


def _removal(internal: InternalTopics, transactional_id: str) -> tuple[Record, ...]:
    """Return the record that removes the position under the earlier transactional id."""
    key = transactional_id.encode()
    return () if key == internal.key else (Record(internal.position, None, key, 0),)


def _moved(planned: SlotMove, reason: str | None) -> PositionRecord:
    move = operator_move(MoveKind.MOVE_SLOT, planned.position.end_lsn, planned.goal, reason)
    moved = planned.record.reset(move, planned.identity, instance())
    nothing_lost = planned.goal == planned.position.end_lsn
    return replace(moved, position=planned.position) if nothing_lost else moved
