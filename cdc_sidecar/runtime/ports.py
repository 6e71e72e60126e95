"""What the threads of the daemon need of other parts, as protocols.

`ReplicationConnection` and `Sentinel` in `cdc_sidecar.postgres` are the real connections.
"""

from collections.abc import Callable
from typing import Protocol

from cdc_sidecar.postgres.frames import PrimaryKeepalive
from cdc_sidecar.postgres.lsn import Lsn


class StatusConnection(Protocol):
    """A streaming connection as the upkeep uses it."""

    last_received: float
    """When bytes last came, on the monotonic clock."""

    def send_status(self, flushed: Lsn, *, reply_requested: bool) -> bool:
        """Report an LSN as flushed; return whether the report was sent."""


class StreamConnection(StatusConnection, Protocol):
    """A streaming connection as the replication thread uses it."""

    def wake_on(self, descriptor: int, /) -> None:
        """Let `wait` return also when this descriptor becomes readable."""

    def drain(
        self,
        feed: Callable[[bytes], None],
        keepalive: Callable[[PrimaryKeepalive], None],
        limit: int,
        /,
    ) -> int:
        """Hand on every complete message up to about `limit` bytes; return the bytes read."""

    def wait(self, timeout: float, /) -> bool:
        """Wait for bytes or for the watched descriptor; return whether bytes came."""

    def end(self, timeout: float, /) -> None:
        """End the copy in order, so that the slot is free."""

    def close(self) -> None:
        """Close the connection, which frees its lock and its slot."""


class ServerWatch(Protocol):
    """Tells when the server closes connections, and whether it accepts new ones."""

    def spoke(self) -> bool:
        """Return whether the server has ended the connection."""

    def renew(self) -> bool:
        """Connect again; return False if the server refuses."""


class Endpoint(Protocol):
    """The server of the daemon's pages; `cdc_sidecar.http.server.HttpServer` is the real one."""

    @property
    def port(self) -> int:
        """The port that it listens on."""

    def start(self) -> None:
        """Serve in a thread."""

    def stop(self) -> None:
        """Stop serving."""
