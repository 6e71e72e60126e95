"""The frames of a replication stream.

PostgreSQL documentation, "Streaming Replication Protocol". XLogData carries a message of
`pgoutput`. All numbers are big-endian.
"""

import struct
from dataclasses import dataclass
from typing import Final

from cdc_sidecar.errors import ProtocolViolation
from cdc_sidecar.postgres.lsn import Lsn

XLOG_DATA: Final = ord("w")
PRIMARY_KEEPALIVE: Final = ord("k")
XLOG_HEADER = struct.Struct(">cQQq")
"""Byte1('w'), WAL start, WAL end, server clock; the message follows."""

MESSAGE_AT: Final = XLOG_HEADER.size
"""Where the message of `pgoutput` starts in an XLogData frame: with the byte of its kind."""
TUPLE_KIND_AT: Final = MESSAGE_AT + 5
"""Where a row message has the kind of its first TupleData, after its own kind and the oid: `N` is a
new row, `K` the old key, `O` the old row.
"""
TUPLE_AT: Final = TUPLE_KIND_AT + 1
"""Where the first TupleData of a row message starts."""

row_header = struct.Struct(">xQ16xxI").unpack_from
"""Return WAL start and relation oid of a row message's frame; struct.error if it is cut off."""

_WAL_START: Final = slice(1, 9)
_RELATION: Final = slice(MESSAGE_AT + 1, TUPLE_KIND_AT)
_ROWS: Final = (b"I", b"U", b"D")

_KEEPALIVE = struct.Struct(">cQqB")
_STATUS = struct.Struct(">cQQQqB")

_BEGIN = struct.Struct(f">{MESSAGE_AT + 1}xQqI").unpack  # final LSN, commit time, xid
_COMMIT = struct.Struct(f">{MESSAGE_AT + 2}xQQ8x").unpack  # after flags: commit LSN, end LSN

POSTGRES_EPOCH_MICROSECONDS = 946_684_800_000_000
"""Microseconds from 1970-01-01 to 2000-01-01, where Postgres's clock starts."""


@dataclass(frozen=True, slots=True)
class PrimaryKeepalive:
    """Everything committed below `wal_end` has been sent."""

    wal_end: Lsn
    server_clock: int
    reply_requested: bool


def wal_start(frame: bytes) -> Lsn:
    """Return the WAL start of an XLogData frame: the LSN of its message."""
    return Lsn(int.from_bytes(frame[_WAL_START], "big"))


def relation_oid(frame: bytes) -> int | None:
    """Return the oid of the relation that a row message names; None for other messages."""
    if frame[MESSAGE_AT : MESSAGE_AT + 1] not in _ROWS:
        return None
    return int.from_bytes(frame[_RELATION], "big")


def read_begin(frame: bytes) -> tuple[Lsn, int, int]:
    """Return final LSN, commit time and xid of a whole XLogData frame with a Begin.

    Raises:
        ProtocolViolation: it does not fit its format.

    """
    try:
        final_lsn, timestamp, xid = _BEGIN(frame)
    except struct.error as error:
        raise malformed("b'B'", frame[MESSAGE_AT:]) from error
    return final_lsn, timestamp + POSTGRES_EPOCH_MICROSECONDS, xid


def read_commit(frame: bytes) -> tuple[Lsn, Lsn]:
    """Return commit LSN and end LSN of a whole XLogData frame with a Commit.

    Raises:
        ProtocolViolation: it does not fit its format.

    """
    try:
        commit_lsn, end_lsn = _COMMIT(frame)
    except struct.error as error:
        raise malformed("b'C'", frame[MESSAGE_AT:]) from error
    return commit_lsn, end_lsn


def decode_keepalive(frame: bytes) -> PrimaryKeepalive:
    """Decode a whole 'k' frame."""
    try:
        _, wal_end, clock, reply = _KEEPALIVE.unpack(frame)
    except struct.error as error:
        raise malformed("keepalive", frame) from error
    return PrimaryKeepalive(Lsn(wal_end), clock + POSTGRES_EPOCH_MICROSECONDS, bool(reply))


def encode_status(
    *, written: Lsn, flushed: Lsn, applied: Lsn, clock: int, reply_requested: bool
) -> bytes:
    """Encode a StandbyStatusUpdate; `clock` in microseconds since 1970.

    `flushed` frees WAL for good: it must be at or below the last position committed in Kafka (I3).
    """
    since_2000 = clock - POSTGRES_EPOCH_MICROSECONDS
    return _STATUS.pack(b"r", written, flushed, applied, since_2000, reply_requested)


def malformed(kind: str, message: bytes) -> ProtocolViolation:
    """Return the error of a message that does not have the format of its kind."""
    return ProtocolViolation(f"{kind} message of {len(message)} bytes does not fit its format")
