"""Keepalive and status have the documented form, to the byte."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_sidecar.errors import ProtocolViolation
from cdc_sidecar.postgres.frames import PrimaryKeepalive, decode_keepalive, encode_status
from cdc_sidecar.postgres.lsn import Lsn


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
