"""The replication connection: simple queries, then the copy stream, on psycopg's `pq` level.

PostgreSQL documentation, "Streaming Replication Protocol". One thread owns a connection at a time.
Reads never block inside libpq: the blocking form would hold the interpreter's lock.
"""

import hashlib
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import pq, sql

from cdc_sidecar.config.model import Postgres
from cdc_sidecar.errors import PostgresUnavailable, ProtocolViolation, SidecarError
from cdc_sidecar.postgres.connect import connection_string, translate, translated
from cdc_sidecar.postgres.frames import (
    PRIMARY_KEEPALIVE,
    XLOG_DATA,
    PrimaryKeepalive,
    decode_keepalive,
    encode_status,
)
from cdc_sidecar.postgres.lsn import Lsn, format_lsn, parse_lsn

QUERY_TIMEOUT: Final = 30.0  # seconds
CREATE_TIMEOUT: Final = 600.0  # seconds
_READ_BYTES: Final = 1_000_000
"""What libpq takes from the socket at once. Its buffer begins with 16 kB, which is 15 rows of 1 kB,
grows with the longest message, and never shrinks; each read costs four system calls.
"""
_COPY_BOTH: Final = pq.ExecStatus.COPY_BOTH.value
_TUPLES: Final = pq.ExecStatus.TUPLES_OK.value
_COMMAND: Final = pq.ExecStatus.COMMAND_OK.value
_COPY_STATES: Final = (pq.ExecStatus.COPY_BOTH.value, pq.ExecStatus.COPY_OUT.value)


@dataclass(frozen=True, slots=True)
class SystemIdentity:
    """What IDENTIFY_SYSTEM says."""

    system_identifier: str
    timeline: int
    flushed_lsn: Lsn
    database: str


class ReplicationConnection:
    """One connection in replication mode; after `start` it only streams.

    `flushed` in `send_status` frees WAL for ever; it has no default.
    """

    def __init__(self, config: Postgres) -> None:
        """Connect.

        Raises:
            SidecarError: what the server or the wire said, translated.

        """
        self._notice: SidecarError | None = None
        with translated():
            self._connection = psycopg.Connection.connect(
                connection_string(config, replication="database"), autocommit=True
            )
        self._pgconn = self._connection.pgconn
        self._pgconn.nonblocking = 1
        self.backend_pid = self._pgconn.backend_pid
        """The walsender's process id; still told when the connection is gone."""
        self._connection.add_notice_handler(self._take_notice)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pgconn.socket, selectors.EVENT_READ)
        self.last_received = time.monotonic()

    def watch(self, descriptor: int) -> None:
        """Let `wait` return also when this descriptor becomes readable."""
        self._selector.register(descriptor, selectors.EVENT_READ)

    def query(
        self,
        statement: str,
        timeout: float = QUERY_TIMEOUT,
        stopping: Callable[[], bool] = lambda: False,
    ) -> list[tuple[str | None, ...]]:
        """Run one simple query and return its rows as text; give up when `stopping`.

        Raises:
            SidecarError: what the server said, translated; PostgresUnavailable at the time-out.

        """
        with translated():
            self._pgconn.send_query(statement.encode())
            self._flush()
            result = self._await_result(time.monotonic() + timeout, stopping)
            while self._pgconn.get_result() is not None:
                pass
        return [
            tuple(
                None if (value := result.get_value(row, column)) is None else value.decode()
                for column in range(result.nfields)
            )
            for row in range(result.ntuples)
        ]

    def _await_result(
        self, deadline: float, stopping: Callable[[], bool] = lambda: False
    ) -> pq.abc.PGresult:
        while self._pgconn.is_busy():
            if not self._selector.select(0.5) and (time.monotonic() >= deadline or stopping()):
                raise PostgresUnavailable("no answer to a query on the replication connection")
            self._pgconn.consume_input()
        result = self._pgconn.get_result()
        if result is None:
            raise PostgresUnavailable("the server closed the replication connection")
        if result.status not in (_TUPLES, _COMMAND, *_COPY_STATES):
            raise self._failure(result)
        return result

    def _failure(self, result: pq.abc.PGresult) -> SidecarError:
        sqlstate = result.error_field(pq.DiagnosticField.SQLSTATE)
        message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message
        return translate(sqlstate.decode() if sqlstate else "08006", message.decode())

    def try_lock(self, key: int) -> bool:
        """Take the advisory lock of this connection's session; tell whether it was free."""
        return self.query(f"SELECT pg_try_advisory_lock({key})")[0][0] == "t"

    def identify_system(self) -> SystemIdentity:
        """Ask who the server is."""
        identifier, timeline, lsn, database = self.query("IDENTIFY_SYSTEM")[0]
        return SystemIdentity(
            identifier or "", int(timeline or 0), parse_lsn(lsn or "0/0"), database or ""
        )

    def is_standby(self) -> bool:
        """Tell whether the server recovers, as a standby does."""
        return self.query("SELECT pg_is_in_recovery()")[0][0] == "t"

    def timeline_history(self, timeline: int) -> dict[int, Lsn]:
        """Return where each ancestor of a timeline ended (`TIMELINE_HISTORY`)."""
        if timeline == 1:
            return {}
        content = self.query(f"TIMELINE_HISTORY {timeline}")[0][1] or ""
        if content.startswith("\\x"):
            content = bytes.fromhex(content[2:]).decode()
        lines = [line.split() for line in content.splitlines()]
        return {
            int(words[0]): parse_lsn(words[1])
            for words in lines
            if len(words) > 1 and words[0].isdigit()
        }

    def create_slot(self, name: str, stopping: Callable[[], bool]) -> Lsn:
        """Create the logical slot and return its consistent point.

        It waits for every transaction that is writing now.
        """
        quoted = _identifier(name)
        statement = f"CREATE_REPLICATION_SLOT {quoted} LOGICAL pgoutput NOEXPORT_SNAPSHOT"
        row = self.query(statement, timeout=CREATE_TIMEOUT, stopping=stopping)[0]
        return parse_lsn(row[1] or "0/0")

    def drop_slot(self, name: str) -> None:
        """Drop a slot.

        Raises:
            SlotBusy: somebody reads it.
            SlotMissing: it is gone already.

        """
        self.query(f"DROP_REPLICATION_SLOT {_identifier(name)}")

    def start(self, slot: str, position: Lsn, publication: str) -> None:
        """Start streaming at `position`; a connection can do this once.

        Raises:
            SidecarError: SlotBusy, SlotMissing, SlotLost, PublicationMissing and others.

        """
        # a message as long as the buffer shall be
        self.query(f"SELECT pg_catalog.repeat(' ', {_READ_BYTES})")
        options = {
            "proto_version": "1",
            "publication_names": _identifier(publication),
            "messages": "true",
        }
        spelled = ", ".join(f"{name} {_literal(value)}" for name, value in options.items())
        statement = (
            f"START_REPLICATION SLOT {_identifier(slot)} LOGICAL {format_lsn(position)} ({spelled})"
        )
        with translated():
            self._pgconn.send_query(statement.encode())
            self._flush()
            result = self._await_result(time.monotonic() + QUERY_TIMEOUT)
        if result.status != _COPY_BOTH:
            raise ProtocolViolation(f"START_REPLICATION answered with status {result.status}")
        self.last_received = time.monotonic()

    def drain(
        self,
        feed: Callable[[bytes], None],
        keepalive: Callable[[PrimaryKeepalive], None],
        limit: int,
    ) -> int:
        """Hand on every complete message up to about `limit` bytes; return the bytes read.

        Zero means that nothing is there: `wait` for more.

        Raises:
            PostgresUnavailable: the server ended the stream, or the wire broke.
            SidecarError: what the server said, translated.

        """
        receive = self._pgconn.get_copy_data
        drained = 0
        with translated():
            while drained < limit:
                size, data = receive(1)
                if self._notice:  # it came before this frame: rows are missing from here on
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
        """Tell why the copy ended: a clean stop of the server arrives as COMMAND_OK."""
        result = self._pgconn.get_result()
        if result is not None and result.status not in (_COMMAND, _TUPLES, *_COPY_STATES):
            raise self._failure(result)
        raise PostgresUnavailable("the server ended the stream", cause="it is shutting down")

    def wait(self, timeout: float) -> bool:
        """Wait for bytes or for a watched descriptor; tell whether bytes came.

        Call it only after `drain` returned 0: libpq buffers without limit.

        Raises:
            PostgresUnavailable: the wire broke.

        """
        ready = self._selector.select(max(0.0, timeout))
        if not any(key.fd == self._pgconn.socket for key, _ in ready):
            return False
        self.consume()
        return True

    def consume(self) -> None:
        """Take what the socket holds into libpq's buffer.

        Raises:
            PostgresUnavailable: the wire broke.

        """
        with translated():
            self._pgconn.consume_input()
        self.last_received = time.monotonic()

    def send_status(self, flushed: Lsn, *, reply_requested: bool = False) -> None:
        """Tell the server that everything up to `flushed` is safe in Kafka (I3).

        Raises:
            PostgresUnavailable: the wire broke.

        """
        clock = time.time_ns() // 1000
        status = encode_status(
            written=flushed,
            flushed=flushed,
            applied=flushed,
            clock=clock,
            reply_requested=reply_requested,
        )
        with translated():
            self._pgconn.put_copy_data(status)
            self._pgconn.flush()

    def end(self, timeout: float) -> None:
        """End the copy in order, so that the slot is free when this returns.

        Raises:
            PostgresUnavailable: the wire broke, or the server did not answer in time.

        """
        deadline = time.monotonic() + timeout
        with translated():
            self._pgconn.put_copy_end()
            self._flush()
            while time.monotonic() < deadline:
                size, _ = self._pgconn.get_copy_data(1)
                if size < 0:
                    return
                if size == 0:
                    self._selector.select(min(0.1, max(0.0, deadline - time.monotonic())))
                    self._pgconn.consume_input()
        raise PostgresUnavailable("the copy stream did not end in time")

    def close(self) -> None:
        """Close the connection; its lock and its hold on the slot go with it."""
        self._selector.close()
        self._connection.close()

    def _flush(self) -> None:
        deadline = time.monotonic() + QUERY_TIMEOUT
        while self._pgconn.flush():
            if time.monotonic() > deadline:
                raise PostgresUnavailable("the server does not read from the connection")
            self._selector.select(0.1)

    def _take_notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """Make the one warning under which rows are skipped an error (PostgreSQL 18)."""
        message = diagnostic.message_primary or ""
        if diagnostic.sqlstate == "55000" and "skipped loading publication" in message:
            self._notice = translate("55000", message)


def _identifier(name: str) -> str:
    return sql.Identifier(name).as_string()


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def lock_key(slot: str) -> int:
    """Return the advisory lock's key for a slot: 63 bits of a digest."""
    digest = hashlib.sha256(f"cdc-sidecar:{slot}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
