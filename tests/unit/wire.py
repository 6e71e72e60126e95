"""Writers of pgoutput's messages, after PostgreSQL's "Logical Replication Message Formats".

The opposite of `postgres.pgoutput`, which only reads. They use nothing of it, because the input of
a test must not come from the code under test.
"""

import struct
from collections.abc import Sequence

from cdc_sidecar.postgres.pgoutput import Relation, Unchanged

Cell = str | bytes | None | Unchanged
"""A column of a row: its text or bytes, NULL, or unchanged."""

COMMIT_TIME = 1_700_000_000_123_456
"""The commit time of every transaction that tests write, in microseconds since 1970."""

_EPOCH = (
    946_684_800_000_000  # microseconds from 1970-01-01 to 2000-01-01, where Postgres counts from
)


def frame(lsn: int, message: bytes) -> bytes:
    """Put a message into an XLogData frame."""
    return struct.pack(">cQQq", b"w", lsn, lsn, 0) + message


def string(text: str) -> bytes:
    """Write a String: UTF-8, terminated by a zero byte."""
    return text.encode() + b"\0"


def row(*cells: Cell) -> bytes:
    """Write a TupleData."""
    return struct.pack(">H", len(cells)) + b"".join(map(_cell, cells))


def _cell(cell: Cell) -> bytes:
    match cell:
        case None:
            return b"n"
        case Unchanged():
            return b"u"
        case str():
            return _cell(cell.encode())
        case bytes():
            return b"t" + struct.pack(">I", len(cell)) + cell


def begin(final_lsn: int, xid: int = 700, commit_time: int = COMMIT_TIME) -> bytes:
    """Write a Begin."""
    return b"B" + struct.pack(">QqI", final_lsn, commit_time - _EPOCH, xid)


def commit(commit_lsn: int, end_lsn: int, commit_time: int = COMMIT_TIME) -> bytes:
    """Write a Commit."""
    return b"C" + struct.pack(">BQQq", 0, commit_lsn, end_lsn, commit_time - _EPOCH)


def origin(commit_lsn: int, name: str) -> bytes:
    """Write an Origin."""
    return b"O" + struct.pack(">Q", commit_lsn) + string(name)


def relation(described: Relation) -> bytes:
    """Write a Relation."""
    head = b"R" + struct.pack(">I", described.oid)
    names = string(described.namespace) + string(described.name)
    identity = described.replica_identity.value.encode()
    columns = b"".join(
        bytes((column.is_key,))
        + string(column.name)
        + struct.pack(">Ii", column.type_oid, column.type_modifier)
        for column in described.columns
    )
    return head + names + identity + struct.pack(">H", len(described.columns)) + columns


def type_name(oid: int, namespace: str, name: str) -> bytes:
    """Write a Type."""
    return b"Y" + struct.pack(">I", oid) + string(namespace) + string(name)


def insert(oid: int, new: Sequence[Cell]) -> bytes:
    """Write an Insert."""
    return b"I" + struct.pack(">I", oid) + b"N" + row(*new)


def update(
    oid: int,
    new: Sequence[Cell],
    *,
    key: Sequence[Cell] | None = None,
    old: Sequence[Cell] | None = None,
) -> bytes:
    """Write an Update with its old `key` ('K'), with the whole `old` row ('O'), or with neither."""
    before = b""
    if key is not None:
        before = b"K" + row(*key)
    elif old is not None:
        before = b"O" + row(*old)
    return b"U" + struct.pack(">I", oid) + before + b"N" + row(*new)


def delete(
    oid: int, *, key: Sequence[Cell] | None = None, old: Sequence[Cell] | None = None
) -> bytes:
    """Write a Delete."""
    before = b"K" + row(*key) if key is not None else b"O" + row(*(old or ()))
    return b"D" + struct.pack(">I", oid) + before


def truncate(*oids: int, cascade: bool = False, restart_identity: bool = False) -> bytes:
    """Write a Truncate."""
    options = cascade | restart_identity << 1
    return b"T" + struct.pack(">IB", len(oids), options) + struct.pack(f">{len(oids)}I", *oids)


def logical_message(prefix: str, content: bytes, lsn: int, *, transactional: bool) -> bytes:
    """Write a Message."""
    head = b"M" + struct.pack(">BQ", transactional, lsn)
    return head + string(prefix) + struct.pack(">I", len(content)) + content
