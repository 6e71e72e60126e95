"""A command alone with the slot: while it holds the lock no sidecar streams, and none begins."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import SidecarRunning
from cdc_sidecar.postgres.lock import lock_key
from cdc_sidecar.postgres.replication import ReplicationConnection

PATIENCE: Final = 2.0  # seconds; the server needs a moment to notice that a sidecar has gone
POLL: Final = 0.2  # seconds


@contextmanager
def exclusive(config: Config) -> Iterator[ReplicationConnection]:
    """Lend a replication connection that holds the sidecar's lock.

    Raises:
        SidecarRunning: a sidecar holds it; nothing was touched.

    """
    connection = ReplicationConnection(config.postgres)
    try:
        _lock(connection, config.postgres.slot)
        yield connection
    finally:
        connection.close()


def _lock(connection: ReplicationConnection, slot: str) -> None:
    until = time.monotonic() + PATIENCE
    while not connection.try_lock(lock_key(slot)):
        if time.monotonic() > until:
            raise SidecarRunning(
                f"another session holds the lock of slot {slot}",
                cause="a sidecar streams; or one was lost, and the server has not noticed yet"
                " (wal_sender_timeout)",
                hint="stop it, and those that stand by to take over; then call this again",
            )
        time.sleep(POLL)
