"""The replication connection: START_REPLICATION and the copy stream, on psycopg's `pq` level.

PostgreSQL documentation, "Streaming Replication Protocol". Reads never block inside libpq: the
blocking form would hold the interpreter's lock.
"""

import selectors
import time
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import pq

from cdc_sidecar.config.model import Postgres
from cdc_sidecar.errors import PostgresUnavailable, ProtocolViolation, SidecarError
from cdc_sidecar.postgres import exchange
from cdc_sidecar.postgres.connect import translate, translated
from cdc_sidecar.postgres.frames import (
    PRIMARY_KEEPALIVE,
    XLOG_DATA,
    PrimaryKeepalive,
    decode_keepalive,
    encode_status,
)
from cdc_sidecar.postgres.lsn import Lsn, format_lsn
from cdc_sidecar.postgres.sql_names import always_quoted, quote_literal
from cdc_sidecar.postgres.walsender import WalsenderConnection

STATUS_TIMEOUT: Final = 0.05
"""Seconds. A status has 34 bytes, so the socket refuses it only while the server reads nothing. The
replication thread must not wait long for that, because it also has to notice within a second that
the server shuts down. A shorter wait would use up a processor: the caller tries again at once.
"""


class ReplicationConnection(WalsenderConnection):
    """One connection in replication mode; after `start` it only streams.

    `flushed` in `send_status` frees WAL for good; it has no default.
    """

    def __init__(self, config: Postgres) -> None:
        """Connect.

        Raises:
            SidecarError: the error of the server or the network, translated.

        """
        super().__init__(config)
        self._notice: SidecarError | None = None
        self._connection.add_notice_handler(self._keep_notice)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pgconn.socket, selectors.EVENT_READ)
        self.last_received = time.monotonic()

    def wake_on(self, descriptor: int) -> None:
        """Let `wait` return also when this descriptor becomes readable."""
        self._selector.register(descriptor, selectors.EVENT_READ)

    def start(self, slot: str, position: Lsn, publication: str) -> None:
        """Start streaming at `position`; a connection can do this once.

        Raises:
            SidecarError: SlotBusy, SlotMissing, SlotLost, PublicationMissing and others.

        """
        self.query(exchange.LONG_ROW)
        options = {
            "proto_version": "1",
            "publication_names": always_quoted(publication),
            "messages": "true",
        }
        spelled = ", ".join(f"{name} {quote_literal(value)}" for name, value in options.items())
        name, start = always_quoted(slot), format_lsn(position)
        result = self._send(f"START_REPLICATION SLOT {name} LOGICAL {start} ({spelled})")
        if result.status != pq.ExecStatus.COPY_BOTH.value:
            raise ProtocolViolation(f"START_REPLICATION answered with status {result.status}")
        self.last_received = time.monotonic()

    def drain(
        self,
        feed: Callable[[bytes], None],
        keepalive: Callable[[PrimaryKeepalive], None],
        limit: int,
    ) -> int:
        """Hand on every complete message up to about `limit` bytes; return the bytes read.

        Zero means that no complete message is there: `wait` for more.

        Raises:
            PostgresUnavailable: the server ended the stream, or the connection broke.
            SidecarError: the server's error, translated.

        """
        receive = self._pgconn.get_copy_data
        drained = 0
        with translated():
            while drained < limit:
                size, data = receive(1)
                if self._notice:  # it came before this frame: rows are missing from now on
                    raise self._notice
                if size <= 0:
                    if size < 0:
                        self._raise_end()
                    break
                frame = bytes(data)
                drained += size
                if frame[0] == XLOG_DATA:
                    feed(frame)
                elif frame[0] == PRIMARY_KEEPALIVE:
                    keepalive(decode_keepalive(frame))
                else:
                    raise ProtocolViolation(f"copy message {frame[:1]!r} of {size} bytes")
        if self._notice:
            raise self._notice
        return drained

    def _raise_end(self) -> None:
        """Raise why the copy ended: a clean stop of the server arrives as COMMAND_OK."""
        result = self._pgconn.get_result()
        if result is not None:
            self._check(result)
        raise PostgresUnavailable("the server ended the stream", cause="it is shutting down")

    def wait(self, timeout: float) -> bool:
        """Wait for bytes or for a watched descriptor; return whether bytes came.

        Call it only after `drain` returned 0: libpq buffers without limit.

        Raises:
            PostgresUnavailable: the connection broke.

        """
        ready = self._selector.select(max(0.0, timeout))
        if not any(key.fd == self._pgconn.socket for key, _ in ready):
            return False
        with translated():
            self._pgconn.consume_input()
        self.last_received = time.monotonic()
        return True

    def send_status(self, flushed: Lsn, *, reply_requested: bool = False) -> bool:
        """Report to the server that everything up to `flushed` is safe in Kafka (I3).

        Return whether the status was sent. If it was not, because the server reads nothing, the
        caller must send one later.

        Raises:
            PostgresUnavailable: the connection broke.

        """
        status = encode_status(
            written=flushed,
            flushed=flushed,
            applied=flushed,
            clock=time.time_ns() // 1000,
            reply_requested=reply_requested,
        )
        step = exchange.send_copy_data(self._pgconn, status)
        with translated():
            try:
                self._waiter.run(step, time.monotonic() + STATUS_TIMEOUT)
            except TimeoutError:
                return False
            finally:
                self.last_received = max(self.last_received, self._waiter.last_readable)
        return True

    def end(self, timeout: float) -> None:
        """End the copy in order, so that the slot is free when this returns.

        Raises:
            PostgresUnavailable: the connection broke, or the server did not answer in time.

        """
        step = exchange.end_copy(self._pgconn)
        with translated():
            try:
                self._waiter.run(step, time.monotonic() + timeout)
            except TimeoutError as error:
                raise PostgresUnavailable("the copy stream did not end in time") from error

    def close(self) -> None:
        """Close the connection, which frees its lock and its slot."""
        self._selector.close()
        super().close()

    def _keep_notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """Keep the only warning that means skipped rows, as an error (PostgreSQL 18)."""
        if (diagnostic.sqlstate, diagnostic.source_function) == ("55000", "LoadPublications"):
            message = diagnostic.message_primary or ""
            self._notice = translate("55000", message, diagnostic.source_function)
