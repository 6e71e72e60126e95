"""Keepalive and status have the documented form, to the byte."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_sidecar.errors import ProtocolViolation
from cdc_sidecar.postgres.frames import (
    MESSAGE_AT,
    TUPLE_AT,
    TUPLE_KIND_AT,
    PrimaryKeepalive,
    decode_keepalive,
    encode_status,
    relation_oid,
    row_header,
    wal_start,
)
from cdc_sidecar.postgres.lsn import Lsn
from tests.unit import wire


def test_a_keepalive_is_decoded() -> None:
    frame = struct.pack(">cQqB", b"k", 0x16_B374D848, 5_000_000, 1)
    clock = 946_684_805_000_000
    assert decode_keepalive(frame) == PrimaryKeepalive(
        Lsn(0x16_B374D848), clock, reply_requested=True
    )


@pytest.mark.parametrize("frame", [b"", b"k", bytes(17), bytes(19)])
def test_a_keepalive_of_another_length_is_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode_keepalive(frame)


@given(*[st.integers(0, 2**64 - 1)] * 3, st.integers(0, 2**60), st.booleans())
def test_a_status_is_34_bytes_in_the_documented_order(
    written: int,
    flushed: int,
    applied: int,
    clock: int,
    reply: bool,  # noqa: FBT001 - drawn
) -> None:
    status = encode_status(
        written=Lsn(written),
        flushed=Lsn(flushed),
        applied=Lsn(applied),
        clock=clock,
        reply_requested=reply,
    )
    expected = (b"r", written, flushed, applied, clock - 946_684_800_000_000, int(reply))
    assert struct.unpack(">cQQQqB", status) == expected
    assert len(status) == 34


# --- XLogData

_ROWS = {
    b"I": wire.insert(16385, ["1"]),
    b"U": wire.update(16385, ["1"]),
    b"D": wire.delete(16385, key=["1"]),
}


@pytest.mark.parametrize("kind", _ROWS)
def test_a_row_message_is_found_in_its_frame(kind: bytes) -> None:
    frame = wire.frame(4980, _ROWS[kind])
    assert frame[MESSAGE_AT : MESSAGE_AT + 1] == kind
    assert row_header(frame) == (4980, 16385)
    assert (wal_start(frame), relation_oid(frame)) == (4980, 16385)
    assert frame[TUPLE_KIND_AT:TUPLE_AT] == (b"K" if kind == b"D" else b"N")
    assert frame[TUPLE_AT:] == wire.row("1")


def test_another_message_names_no_relation() -> None:
    assert relation_oid(wire.frame(4980, wire.truncate(16385))) is None
    assert relation_oid(b"w") is None


def test_the_header_of_a_row_that_is_cut_off_is_an_error() -> None:
    with pytest.raises(struct.error):
        row_header(wire.frame(4980, _ROWS[b"I"])[: TUPLE_KIND_AT - 1])
