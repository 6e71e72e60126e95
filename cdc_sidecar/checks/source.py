"""Reads the state of the source, with which a position is compared."""

from cdc_sidecar.checks.continuity import SourceState
from cdc_sidecar.config.model import Config
from cdc_sidecar.kafka.position import SourceIdentity
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.server import SourceServer, read_server
from cdc_sidecar.postgres.slot import read_slot
from cdc_sidecar.postgres.walsender import SystemIdentity, WalsenderConnection


def read_source(connection: WalsenderConnection, database: Database, config: Config) -> SourceState:
    """Read the slot first and the end of the WAL last.

    A caller that compares the result with a position read later replaces `wal_end` by a newer one:
    a running sidecar moves the position beyond the end that was read here.

    Raises:
        SidecarError: Postgres is not available, or refuses the connection.

    """
    with database.connection() as ordinary:
        server = read_server(ordinary)
        slot = read_slot(ordinary, config.postgres.slot)
    system = connection.identify_system()
    history = connection.timeline_history(system.timeline)
    identity = identity_of(system, server, config)
    return SourceState(identity, slot, system.flushed_lsn, history, server.release)


def acknowledged_lsn(database: Database, slot: str) -> Lsn:
    """Return the LSN up to which a slot is confirmed; 0 if there is no slot.

    Raises:
        SidecarError: Postgres is not available, or refuses the connection.

    """
    with database.connection() as connection:
        found = read_slot(connection, slot)
    return found.confirmed_flush_lsn if found else Lsn(0)


def identity_of(system: SystemIdentity, server: SourceServer, config: Config) -> SourceIdentity:
    """Return the identity of the source as it is now."""
    return SourceIdentity(
        system.system_identifier,
        system.timeline,
        server.database,
        server.database_oid,
        config.postgres.slot,
        config.postgres.publication,
    )
