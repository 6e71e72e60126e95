"""How position, slot and source stand to each other: what is read, and what it means together."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import SidecarError, SlotAhead
from cdc_sidecar.kafka.position import PositionRecord, SourceIdentity
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.replication import ReplicationConnection
from cdc_sidecar.postgres.server import SourceServer, read_server
from cdc_sidecar.postgres.slot import SlotStatus, read_slot
from cdc_sidecar.postgres.walsender import SystemIdentity
from cdc_sidecar.runtime import preflight
from cdc_sidecar.runtime.inspection import read_current_position

MARKERS_WITHIN: Final = 3.0  # seconds from the acknowledgement of a commit to its being readable


@dataclass(frozen=True, slots=True)
class Standing:
    """The position and the source, as of one moment."""

    record: PositionRecord | None
    identity: SourceIdentity  # of the source as it is now
    slot: SlotStatus | None
    system: SystemIdentity
    history: Mapping[int, Lsn]  # where each ancestor of the server's timeline ended

    def stranger(self) -> SidecarError | None:
        """Return why the position is not of this source; None where it is, or there is none."""
        record = self.record
        if record is None:
            return None
        try:
            preflight.check_identity(record, self.identity, self.history)
            if record.position:
                preflight.check_wal_end(record.position, self.system)
        except SidecarError as error:
            return error
        return None

    def fault(self, fingerprint: str) -> SidecarError | None:
        """Return what keeps a sidecar of this configuration from going on."""
        record = self.record
        if record is None or record.position is None:
            return None
        try:
            preflight.check_identity(record, self.identity, self.history)
            preflight.check_position(record, self.slot, self.system, fingerprint)
        except SidecarError as error:
            return error
        return None


def look(config: Config, fingerprint: str) -> Standing:
    """Look without claiming and without the lock, also while a sidecar streams.

    What is acknowledged may take a moment to be readable: a gap is looked at again.

    Raises:
        SidecarError: Postgres or Kafka cannot be asked.

    """
    connection = ReplicationConnection(config.postgres)
    try:
        standing = read_standing(config, connection)
        until = time.monotonic() + MARKERS_WITHIN
        while _may_be_late(standing, fingerprint) and time.monotonic() < until:
            standing = replace(standing, record=read_current_position(config))
    finally:
        connection.close()
    return standing


def _may_be_late(standing: Standing, fingerprint: str) -> bool:
    in_use = standing.slot is not None and standing.slot.active_pid is not None
    return in_use and isinstance(standing.fault(fingerprint), SlotAhead)


def read_standing(config: Config, connection: ReplicationConnection) -> Standing:
    """Read slot, then position, then WAL end: in this order a stream that flows shows no gap.

    Raises:
        SidecarError: Postgres or Kafka cannot be asked.

    """
    server, slot = _read_source(config)
    record = read_current_position(config)
    system = connection.identify_system()
    return Standing(
        record,
        preflight.identity_of(system, server, config),
        slot,
        system,
        connection.timeline_history(system.timeline),
    )


def _read_source(config: Config) -> tuple[SourceServer, SlotStatus | None]:
    database = Database(config.postgres)
    try:
        with database.connection() as ordinary:
            return read_server(ordinary), read_slot(ordinary, config.postgres.slot)
    finally:
        database.close()
