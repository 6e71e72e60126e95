"""The messages of logical replication, decoded from bytes.

PostgreSQL documentation, "Logical Replication Message Formats", protocol version 1 with `messages`;
fields are named as there. All numbers are big-endian. On the hot path rows are transcoded
(`events.transcode`), and `frames` reads the numbers of a Begin or Commit. `decode` is the
definition that both are tested against, and it decodes the rarer messages.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from cdc_sidecar.errors import ProtocolViolation
from cdc_sidecar.postgres.frames import MESSAGE_AT, POSTGRES_EPOCH_MICROSECONDS, malformed
from cdc_sidecar.postgres.lsn import Lsn, format_lsn

_BEGIN = struct.Struct(">QqI")
_COMMIT = struct.Struct(">BQQq")
_MESSAGE = struct.Struct(">BQ")
_PREFIX_AT: Final = MESSAGE_AT + 1 + _MESSAGE.size


class ReplicaIdentity(Enum):
    """Which columns the old row of an UPDATE or DELETE has (`pg_class.relreplident`)."""

    DEFAULT = "d"
    NOTHING = "n"
    FULL = "f"
    INDEX = "i"


class Unchanged(Enum):
    """A TOASTed value that the server did not send; it is not NULL."""

    UNCHANGED = "u"


UNCHANGED: Final = Unchanged.UNCHANGED

ColumnData = bytes | None | Unchanged
TupleData = tuple[ColumnData, ...]
"""Per column: its text, NULL, or UNCHANGED."""


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction starts; `final_lsn` is the start of its commit record."""

    final_lsn: Lsn
    commit_timestamp: int  # microseconds since 1970
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    """A transaction is over; `end_lsn` may be confirmed."""

    commit_lsn: Lsn
    end_lsn: Lsn
    commit_timestamp: int  # microseconds since 1970


@dataclass(frozen=True, slots=True)
class Origin:
    """The transaction was replicated from another server."""

    commit_lsn: Lsn
    name: str


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """One column of a Relation message."""

    is_key: bool
    name: str
    type_oid: int
    type_modifier: int


@dataclass(frozen=True, slots=True)
class Relation:
    """The layout of the rows that follow. It has no LSN, and every session sends it again."""

    oid: int
    namespace: str
    name: str
    replica_identity: ReplicaIdentity
    columns: tuple[RelationColumn, ...]

    @property
    def qualified_name(self) -> str:
        """`schema.table`."""
        return f"{self.namespace}.{self.name}"


@dataclass(frozen=True, slots=True)
class Type:
    """The name of a user-defined type (oid ≥ 16384)."""

    oid: int
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row."""

    relation_oid: int
    new: TupleData


@dataclass(frozen=True, slots=True)
class Update:
    """A changed row; `old` is present for a changed or TOASTed key ('K') or FULL ('O')."""

    relation_oid: int
    old_kind: str | None
    old: TupleData | None
    new: TupleData


@dataclass(frozen=True, slots=True)
class Delete:
    """A deleted row: its key ('K') or, with FULL, all of it ('O')."""

    relation_oid: int
    old_kind: str
    old: TupleData


@dataclass(frozen=True, slots=True)
class Truncate:
    """Tables emptied by one statement."""

    relation_oids: tuple[int, ...]
    cascade: bool
    restart_identity: bool


class LogicalMessage(NamedTuple):
    """A message of `pg_logical_emit_message`; `lsn` is the end of its record."""

    transactional: bool
    lsn: Lsn
    prefix: str
    content: bytes


Message = (
    Begin | Commit | Origin | Relation | Type | Insert | Update | Delete | Truncate | LogicalMessage
)


def decode(message: bytes) -> Message:
    """Decode one pgoutput message (what follows the XLogData header).

    Raises:
        ProtocolViolation: an unknown message or one that does not fit its format (I6).

    """
    decoder = _DECODERS.get(message[:1])
    if decoder is None:
        raise ProtocolViolation(
            f"message {message[:1]!r} of {len(message)} bytes",
            cause="a protocol version or option that the sidecar did not ask for",
        )
    reader = _Reader(message)
    try:
        decoded = decoder(reader)
    except (struct.error, IndexError, ValueError) as error:
        raise malformed(repr(message[:1]), message) from error
    if reader.at != len(message):
        raise malformed(repr(message[:1]), message)
    return decoded


class _Reader:
    """A cursor over the fields of one message."""

    __slots__ = ("at", "message")

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.at = 1

    def unpack(self, form: struct.Struct) -> tuple[int, ...]:
        fields = form.unpack_from(self.message, self.at)
        self.at += form.size
        return fields

    def integer(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "big", signed=signed)

    def take(self, size: int) -> bytes:
        end = self.at + size
        if size < 0 or end > len(self.message):
            raise IndexError
        taken = self.message[self.at : end]
        self.at = end
        return taken

    def text(self) -> str:
        end = self.message.index(b"\0", self.at)
        text = self.message[self.at : end].decode()
        self.at = end + 1
        return text

    def tuple_data(self) -> TupleData:
        return tuple(self._column() for _ in range(self.integer(2)))

    def _column(self) -> ColumnData:
        match self.take(1):
            case b"t":
                return self.take(self.integer(4))
            case b"n":
                return None
            case b"u":
                return UNCHANGED
            case _:
                raise ValueError


def _begin(reader: _Reader) -> Begin:
    final_lsn, timestamp, xid = reader.unpack(_BEGIN)
    return Begin(Lsn(final_lsn), timestamp + POSTGRES_EPOCH_MICROSECONDS, xid)


def _commit(reader: _Reader) -> Commit:
    _flags, commit_lsn, end_lsn, timestamp = reader.unpack(_COMMIT)
    return Commit(Lsn(commit_lsn), Lsn(end_lsn), timestamp + POSTGRES_EPOCH_MICROSECONDS)


def _origin(reader: _Reader) -> Origin:
    return Origin(Lsn(reader.integer(8)), reader.text())


def _relation(reader: _Reader) -> Relation:
    oid = reader.integer(4)
    # pg_catalog is sent as an empty string
    namespace, name = reader.text() or "pg_catalog", reader.text()
    identity = ReplicaIdentity(reader.take(1).decode())
    columns = tuple(_relation_column(reader) for _ in range(reader.integer(2)))
    return Relation(oid, namespace, name, identity, columns)


def _relation_column(reader: _Reader) -> RelationColumn:
    flags = reader.integer(1)
    name = reader.text()
    return RelationColumn(bool(flags & 1), name, reader.integer(4), reader.integer(4, signed=True))


def _type(reader: _Reader) -> Type:
    return Type(reader.integer(4), reader.text() or "pg_catalog", reader.text())


def _insert(reader: _Reader) -> Insert:
    oid = reader.integer(4)
    _expect(reader, b"N")
    return Insert(oid, reader.tuple_data())


def _update(reader: _Reader) -> Update:
    oid = reader.integer(4)
    kind, old = reader.take(1), None
    if kind in (b"K", b"O"):
        old = reader.tuple_data()
        _expect(reader, b"N")
        return Update(oid, kind.decode(), old, reader.tuple_data())
    if kind != b"N":
        raise ValueError
    return Update(oid, None, None, reader.tuple_data())


def _delete(reader: _Reader) -> Delete:
    oid = reader.integer(4)
    kind = reader.take(1)
    if kind not in (b"K", b"O"):
        raise ValueError
    return Delete(oid, kind.decode(), reader.tuple_data())


def _truncate(reader: _Reader) -> Truncate:
    count, options = reader.integer(4), reader.integer(1)
    oids = tuple(reader.integer(4) for _ in range(count))
    return Truncate(oids, bool(options & 1), bool(options & 2))


def _logical_message(reader: _Reader) -> LogicalMessage:
    flags, lsn = reader.unpack(_MESSAGE)
    prefix = reader.text()
    content = reader.take(reader.integer(4))
    return LogicalMessage(bool(flags & 1), Lsn(lsn), prefix, content)


def read_message(frame: bytes) -> LogicalMessage:
    """Return the logical message of a whole XLogData frame, faster than `decode`.

    Raises:
        ProtocolViolation: it does not fit its format.

    """
    try:
        flags, lsn = _MESSAGE.unpack_from(frame, MESSAGE_AT + 1)
        end = frame.index(0, _PREFIX_AT)
        prefix = frame[_PREFIX_AT:end].decode()
        size = int.from_bytes(frame[end + 1 : end + 5], "big")
    except (struct.error, ValueError) as error:
        raise malformed("b'M'", frame[MESSAGE_AT:]) from error
    if len(frame) != end + 5 + size:
        raise malformed("b'M'", frame[MESSAGE_AT:])
    return LogicalMessage(bool(flags & 1), Lsn(lsn), prefix, frame[end + 5 :])


def _expect(reader: _Reader, byte: bytes) -> None:
    if reader.take(1) != byte:
        raise ValueError


_DECODERS: Final[dict[bytes, Callable[[_Reader], Message]]] = {
    b"B": _begin,
    b"C": _commit,
    b"O": _origin,
    b"R": _relation,
    b"Y": _type,
    b"I": _insert,
    b"U": _update,
    b"D": _delete,
    b"T": _truncate,
    b"M": _logical_message,
}


def check_commit(final_lsn: int, commit_lsn: int) -> None:
    """Check that a Commit ends the transaction whose Begin promised `final_lsn`.

    Raises:
        ProtocolViolation: its commit LSN is another.

    """
    if commit_lsn != final_lsn:
        raise ProtocolViolation(
            f"COMMIT at {format_lsn(commit_lsn)}, but BEGIN promised {format_lsn(final_lsn)}"
        )
