"""Every message of the stream is decoded as documented, and anything else is refused."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_sidecar.errors import ProtocolViolation
from cdc_sidecar.postgres.frames import read_begin, read_commit
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    Origin,
    Relation,
    RelationColumn,
    ReplicaIdentity,
    Truncate,
    Type,
    Update,
    check_commit,
    decode,
)
from tests.unit import wire

_COLUMNS = (
    RelationColumn(is_key=True, name="id", type_oid=20, type_modifier=-1),
    RelationColumn(is_key=False, name="préis", type_oid=1700, type_modifier=655366),
)
_ORDERS = Relation(16385, "public", "orders", ReplicaIdentity.INDEX, _COLUMNS)

_EVERY_MESSAGE: list[tuple[bytes, Message]] = [
    (wire.begin(0x1794248, 746), Begin(Lsn(0x1794248), wire.COMMIT_TIME, 746)),
    (wire.commit(5, 9), Commit(Lsn(5), Lsn(9), wire.COMMIT_TIME)),
    (wire.origin(2**63, "standby"), Origin(Lsn(2**63), "standby")),
    (wire.relation(_ORDERS), _ORDERS),
    (wire.type_name(16390, "public", "mood"), Type(16390, "public", "mood")),
    (wire.insert(7, ["1", None, "", b"\x00"]), Insert(7, (b"1", None, b"", b"\x00"))),
    (wire.update(7, ["1", UNCHANGED]), Update(7, None, None, (b"1", UNCHANGED))),
    (wire.update(7, ["2"], key=["1"]), Update(7, "K", (b"1",), (b"2",))),
    (wire.update(7, ["2"], old=["1"]), Update(7, "O", (b"1",), (b"2",))),
    (wire.delete(7, key=["1", None]), Delete(7, "K", (b"1", None))),
    (wire.delete(7, old=["1", "x"]), Delete(7, "O", (b"1", b"x"))),
    (wire.truncate(7, 8), Truncate((7, 8), cascade=False, restart_identity=False)),
    (wire.truncate(7, cascade=True), Truncate((7,), cascade=True, restart_identity=False)),
    (wire.truncate(7, restart_identity=True), Truncate((7,), cascade=False, restart_identity=True)),
    (
        wire.logical_message("audit", b"\x00\xff", 77, transactional=True),
        LogicalMessage(transactional=True, lsn=Lsn(77), prefix="audit", content=b"\x00\xff"),
    ),
    (
        wire.logical_message("", b"", 78, transactional=False),
        LogicalMessage(transactional=False, lsn=Lsn(78), prefix="", content=b""),
    ),
]
_MESSAGES = [message for message, _ in _EVERY_MESSAGE]


@pytest.mark.parametrize(("message", "meaning"), _EVERY_MESSAGE)
def test_a_message_is_decoded_as_documented(message: bytes, meaning: Message) -> None:
    assert decode(message) == meaning


def test_a_begin_is_decoded_from_the_very_bytes_a_server_sent() -> None:
    sent = bytes.fromhex("42 0000000001729850 0003 03f27e9cdab1 000002f4")
    assert decode(sent) == Begin(Lsn(0x1729850), 0x303F27E9CDAB1 + 946_684_800_000_000, 756)


@pytest.mark.parametrize("write", [wire.relation, None])
def test_an_empty_namespace_is_pg_catalog(write: object) -> None:
    if write:
        bare = Relation(3, "", "pg_x", ReplicaIdentity.FULL, ())
        assert decode(wire.relation(bare)) == Relation(
            3, "pg_catalog", "pg_x", ReplicaIdentity.FULL, ()
        )
    else:
        assert decode(wire.type_name(25, "", "text")) == Type(25, "pg_catalog", "text")


@pytest.mark.parametrize("identity", list(ReplicaIdentity))
def test_every_replica_identity_is_known(identity: ReplicaIdentity) -> None:
    relation = Relation(1, "a", "b", identity, ())
    assert decode(wire.relation(relation)) == relation
    assert relation.qualified_name == "a.b"


@pytest.mark.parametrize("message", [b"", b"S" + bytes(9), b"E", b"c" + bytes(20), b"\x00", b"b"])
def test_an_unknown_message_is_refused(message: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="message"):
        decode(message)


@pytest.mark.parametrize("message", _MESSAGES)
def test_a_truncated_message_is_refused_wherever_it_is_cut(message: bytes) -> None:
    for end in range(len(message)):
        with pytest.raises(ProtocolViolation):
            decode(message[:end])


@pytest.mark.parametrize("message", _MESSAGES)
def test_a_message_with_a_byte_too_many_is_refused(message: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="does not fit its format"):
        decode(message + b"\x00")


@pytest.mark.parametrize(
    "message",
    [
        b"I" + struct.pack(">I", 7) + b"K" + wire.row("1"),
        b"U" + struct.pack(">I", 7) + b"X" + wire.row("1"),
        b"U" + struct.pack(">I", 7) + b"K" + wire.row("1") + b"K" + wire.row("1"),
        b"D" + struct.pack(">I", 7) + b"N" + wire.row("1"),
        b"I" + struct.pack(">I", 7) + b"N" + struct.pack(">H", 1) + b"b" + struct.pack(">I", 0),
        b"I" + struct.pack(">I", 7) + b"N" + struct.pack(">H", 1) + b"t\xff\xff\xff\xff",
        wire.relation(_ORDERS).replace(b"orders\x00i", b"orders\x00z"),
        b"O" + bytes(8) + b"\xff\xfe\x00",
    ],
)
def test_a_message_that_contradicts_its_format_is_refused(message: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="does not fit its format"):
        decode(message)


@given(st.binary(max_size=60))
@example(b"T\xff\xff\xff\xff\x00")
def test_any_bytes_are_decoded_or_refused_and_nothing_else(message: bytes) -> None:
    try:
        decode(message)
    except ProtocolViolation:
        return


@given(st.sampled_from(_MESSAGES), st.data())
def test_a_damaged_message_is_decoded_or_refused_and_nothing_else(
    message: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(message)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(damaged))
    except ProtocolViolation:
        return


def test_a_refusal_never_shows_the_bytes_of_a_row() -> None:
    with pytest.raises(ProtocolViolation) as refused:
        decode(wire.insert(7, ["hunter2"]) + b"\x00")
    assert "hunter2" not in str(refused.value)


def test_a_commit_must_end_the_transaction_that_was_begun() -> None:
    check_commit(0x15293B8, 0x15293B8)
    with pytest.raises(
        ProtocolViolation, match="COMMIT at 0/1529300, but BEGIN promised 0/15293B8"
    ):
        check_commit(0x15293B8, 0x1529300)


@given(st.integers(0, 2**63), st.integers(0, 2**32 - 1))
def test_of_a_begin_the_same_numbers_are_read_as_are_decoded(lsn: int, xid: int) -> None:
    message = wire.begin(lsn, xid)
    begin = decode(message)
    assert isinstance(begin, Begin)
    expected = (begin.final_lsn, begin.commit_timestamp, begin.xid)
    assert read_begin(wire.frame(7, message)) == expected


@given(st.integers(0, 2**63), st.integers(0, 2**63))
def test_of_a_commit_the_same_numbers_are_read_as_are_decoded(lsn: int, end: int) -> None:
    message = wire.commit(lsn, end)
    commit = decode(message)
    assert isinstance(commit, Commit)
    assert read_commit(wire.frame(7, message)) == (commit.commit_lsn, commit.end_lsn)


@pytest.mark.parametrize(
    ("read", "message"), [(read_begin, wire.begin(5, 1)), (read_commit, wire.commit(5, 9))]
)
def test_a_begin_or_commit_of_another_length_is_refused(
    read: Callable[[bytes], object], message: bytes
) -> None:
    frame = wire.frame(7, message)
    for other in (frame[:-1], frame + b"\0", frame[:26]):
        with pytest.raises(ProtocolViolation, match="does not fit its format"):
            read(other)
