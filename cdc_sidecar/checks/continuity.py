"""Continuity: whether a position can continue on a source without a gap or a repeat (I7).

One pure value decides. `run`, `check`, `position` and `teardown` read the source and the position,
each in its own order, and ask this value.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cdc_sidecar.errors import (
    ConfigChangedInside,
    PositionElsewhere,
    SidecarError,
    SlotAhead,
    SlotMissing,
    SourceChanged,
    WalWentBack,
)
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.kafka.position import MOVE_SLOT_HINT, PositionRecord, SourceIdentity
from cdc_sidecar.postgres.lsn import Lsn, format_lsn
from cdc_sidecar.postgres.slot import SlotStatus

_OTHER_SOURCE = (
    "a clone: give it a service.name of its own; this service on a restored or upgraded server:"
    " `cdc-sidecar position accept-gap --new-source` shows what is lost; --yes accepts it"
)


@dataclass(frozen=True, slots=True)
class SourceState:
    """The source at one moment."""

    identity: SourceIdentity
    slot: SlotStatus | None
    wal_end: Lsn  # up to which the server has flushed its WAL
    history: Mapping[int, Lsn]  # where each ancestor of the server's timeline ended
    release: str = ""  # of the server, such as 18.1


@dataclass(frozen=True, slots=True)
class Continuity:
    """A position and the source to compare it with; without a position nothing can contradict."""

    record: PositionRecord | None
    source: SourceState

    @property
    def mismatch(self) -> SidecarError | None:
        """Return the reason why the position does not belong to this source; None if it does."""
        if self.record is None:
            return None
        return (
            self._other_source(self.record)
            or self._other_publication(self.record)
            or self._wal_behind(self.record)
        )

    def fault(self, fingerprint: str) -> SidecarError | None:
        """Return the reason why a sidecar cannot continue from the position; None if it can.

        `fingerprint` is that of the configuration with which it would continue.
        """
        record = self.record
        if record is None or record.position is None:
            return None
        return (
            self._other_source(record)
            or self._other_publication(record)
            or self._unusable_slot(record.position)
            or self._slot_ahead(record.position)
            or self._wal_behind(record)
            or _other_configuration(record, fingerprint)
        )

    def usable_slot(self, position: Position) -> SlotStatus:
        """Return the slot if the changes after `position` can be read from it.

        Raises:
            SlotMissing: the slot does not exist.
            SlotLost, SlotUnfit: changes cannot be read from it.

        """
        slot, identity = self.source.slot, self.source.identity
        if slot is None:
            raise SlotMissing(
                f"slot {identity.slot} does not exist; everything up to"
                f" {format_lsn(position.end_lsn)} is published, the server is at"
                f" {format_lsn(self.source.wal_end)}",
                cause="it was dropped, or a failover left it behind; the changes in between are"
                " lost",
                hint="see docs/how-to/recover-a-lost-slot.md",
            )
        slot.check(identity.database)
        return slot

    def _other_source(self, record: PositionRecord) -> SidecarError | None:
        then, now = record.identity, self.source.identity
        differing = _differences(then, now)
        if not differing and then.slot != now.slot:
            return PositionElsewhere(
                f"the position belongs to slot {then.slot}, and postgres.slot is {now.slot}",
                cause="postgres.slot was changed",
                hint=MOVE_SLOT_HINT,
            )
        end = record.position.end_lsn if record.position else Lsn(0)
        if not differing and then.timeline != now.timeline:
            forked = self.source.history.get(then.timeline)
            if forked is None or end > forked:
                fork = f"timeline {now.timeline} left {then.timeline}"
                differing = [
                    f"{fork} at {format_lsn(forked or 0)}, but {format_lsn(end)} is published"
                ]
        if not differing:
            return None
        return SourceChanged(
            "; ".join(differing),
            cause="a restored backup, a clone, a failover that lost WAL, or another database",
            hint=_OTHER_SOURCE,
        )

    def _other_publication(self, record: PositionRecord) -> SidecarError | None:
        then, now = record.identity.publication, self.source.identity.publication
        if record.position is None or record.position.partial is None or then == now:
            return None
        return ConfigChangedInside(
            f"{_transaction(record.position.partial)}: the publication was {then} and is {now}",
            hint="restore postgres.publication until the whole transaction is published",
        )

    def _unusable_slot(self, position: Position) -> SidecarError | None:
        try:
            self.usable_slot(position)
        except SidecarError as error:
            return error
        return None

    def _slot_ahead(self, position: Position) -> SidecarError | None:
        slot = self.source.slot
        if slot is None or slot.confirmed_flush_lsn <= position.end_lsn:
            return None
        gap = slot.confirmed_flush_lsn - position.end_lsn
        return SlotAhead(
            f"everything up to {format_lsn(position.end_lsn)} is published, but the slot begins at"
            f" {format_lsn(slot.confirmed_flush_lsn)}: a gap of {gap} bytes of WAL",
            cause="the slot was re-created or advanced, or the position is from an older backup",
            hint="`cdc-sidecar position accept-gap` shows the gap; --yes skips it",
        )

    def _wal_behind(self, record: PositionRecord) -> SidecarError | None:
        position = record.position
        if position is None or position.end_lsn <= self.source.wal_end:
            return None
        return WalWentBack(
            f"everything up to {format_lsn(position.end_lsn)} is published, but the server's WAL"
            f" ends at {format_lsn(self.source.wal_end)}",
            cause="a restored backup or a clone",
            hint=_OTHER_SOURCE,
        )


def _differences(then: SourceIdentity, now: SourceIdentity) -> list[str]:
    facts = [
        ("system identifier", then.system_identifier, now.system_identifier),
        (
            "database",
            f"{then.database} ({then.database_oid})",
            f"{now.database} ({now.database_oid})",
        ),
    ]
    return [f"the {name} was {was} and is {is_}" for name, was, is_ in facts if was != is_]


def _other_configuration(record: PositionRecord, fingerprint: str) -> SidecarError | None:
    position = record.position
    if position is None or position.partial is None or record.fingerprint == fingerprint:
        return None
    return ConfigChangedInside(
        _transaction(position.partial),
        hint="restore the old configuration until the whole transaction is published",
    )


def _transaction(partial: Partial) -> str:
    return f"transaction {partial.xid} at {format_lsn(partial.final_lsn)}"
