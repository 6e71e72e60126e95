"""Exclusive use of a slot by a command: while it holds the lock, no sidecar streams or starts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import SidecarRunning
from cdc_sidecar.postgres.lock import lock_key
from cdc_sidecar.postgres.walsender import WalsenderConnection

PATIENCE: Final = 2.0
"""Seconds to keep trying: the server may notice late that a stopped sidecar has disconnected."""
POLL: Final = 0.2  # seconds between two tries; each is one short query


@contextmanager
def exclusive(config: Config) -> Iterator[WalsenderConnection]:
    """Yield a replication connection that holds the lock of the slot.

    Raises:
        SidecarRunning: a sidecar holds the lock; nothing was changed.

    """
    connection = WalsenderConnection(config.postgres)
    try:
        lock(connection, config.postgres.slot)
        yield connection
    finally:
        connection.close()


def lock(connection: WalsenderConnection, slot: str) -> None:
    """Take the lock of a slot, until the connection is closed; SidecarRunning if it is held."""
    until = time.monotonic() + PATIENCE
    while not connection.try_lock(lock_key(slot)):
        if time.monotonic() > until:
            raise SidecarRunning(
                f"another session holds the lock of slot {slot}",
                cause="a sidecar is running, or one was lost and the server has not noticed it yet"
                " (wal_sender_timeout)",
                hint="stop the sidecar and its standbys, then run this command again",
            )
        time.sleep(POLL)
