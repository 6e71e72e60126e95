"""Observes position and source in an order in which a running sidecar never seems to have a gap."""

import time
from dataclasses import replace
from typing import Final

from cdc_sidecar.checks.continuity import Continuity
from cdc_sidecar.checks.source import read_source
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import SlotAhead
from cdc_sidecar.kafka.claim import read_current_position
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.walsender import WalsenderConnection

MARKERS_WITHIN: Final = 3.0
"""Seconds from the acknowledgement of a commit until its position can be read: the broker answers
before it has written the markers of the commit, which takes milliseconds, or longer under load."""


def observe(config: Config, fingerprint: str) -> Continuity:
    """Read position and source without claiming; read again if the slot seems to be ahead.

    Raises:
        SidecarError: Postgres or Kafka is not available.

    """
    connection = WalsenderConnection(config.postgres)
    try:
        seen = observe_on(connection, config)
        until = time.monotonic() + MARKERS_WITHIN
        while _may_be_late(seen, fingerprint) and time.monotonic() < until:
            seen = replace(seen, record=read_current_position(config))
    finally:
        connection.close()
    return seen


def _may_be_late(seen: Continuity, fingerprint: str) -> bool:
    slot = seen.source.slot
    in_use = slot is not None and slot.active_pid is not None
    return in_use and isinstance(seen.fault(fingerprint), SlotAhead)


def observe_on(connection: WalsenderConnection, config: Config) -> Continuity:
    """Read the slot, then the position, then the end of the WAL.

    Raises:
        SidecarError: Postgres or Kafka is not available.

    """
    database = Database(config.postgres)
    try:
        source = read_source(connection, database, config)
    finally:
        database.close()
    record = read_current_position(config)
    wal_end = connection.identify_system().flushed_lsn
    return Continuity(record, replace(source, wal_end=wal_end))
