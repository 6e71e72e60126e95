"""A stream that is damaged or contradicts itself is refused, and the error shows no value."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_sidecar.errors import ProtocolViolation, RecordTooLarge, SidecarError, Unrepresentable
from tests.unit import shop, wire
from tests.unit.orders import DESCRIBE, INSERT, OID, TOPIC, capture_orders, message_with
from tests.unit.shop import ORDER_ROW, ORDERS, Shop


def test_a_row_of_a_relation_that_was_never_described_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match="relation 16385, which was never described"):
        capture_orders().transaction(INSERT)


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([wire.frame(1, INSERT)], "outside of any transaction"),
        ([wire.frame(1, wire.truncate(OID))], "outside of any transaction"),
        ([wire.frame(1, message_with())], "outside of any transaction"),
        ([wire.frame(9, wire.commit(5, 9))], "COMMIT outside of any transaction"),
        ([wire.frame(1, wire.begin(5))] * 2, "BEGIN inside a transaction"),
        (
            [wire.frame(1, wire.begin(5)), wire.frame(9, wire.commit(6, 9))],
            "COMMIT at 0/6, but BEGIN promised 0/5",
        ),
        (
            [wire.frame(1, wire.begin(5)), wire.frame(2, message_with(transactional=False))],
            "inside a transaction",
        ),
        ([wire.frame(1, b"S" + bytes(9))], "message b'S'"),
        ([wire.frame(1, b"")], "without a message"),
        ([b"w"], "without a message"),
    ],
)
def test_a_stream_that_contradicts_itself_is_refused(frames: list[bytes], reason: str) -> None:
    with pytest.raises(ProtocolViolation, match=reason):
        Shop(ORDERS, tables=[shop.table()], prefixes=("audit",)).feed(*frames)


_UPDATE = wire.update(OID, ORDER_ROW, old=ORDER_ROW)
_DELETE = wire.delete(OID, old=ORDER_ROW)


@pytest.mark.parametrize("message", [INSERT, wire.update(OID, ORDER_ROW), _UPDATE, _DELETE])
def test_a_row_message_is_refused_wherever_it_is_cut(message: bytes) -> None:
    for end in range(1, len(message)):
        session = capture_orders()
        session.feed(wire.frame(1, wire.begin(5000)), wire.frame(0, DESCRIBE))
        with pytest.raises(ProtocolViolation):
            session.feed(wire.frame(1, message[:end]))
        assert session.batches() == []


@pytest.mark.parametrize("message", [INSERT, wire.update(OID, ORDER_ROW), _UPDATE, _DELETE])
def test_a_row_message_with_bytes_too_many_is_refused(message: bytes) -> None:
    session = capture_orders()
    session.feed(wire.frame(1, wire.begin(5000)), wire.frame(0, DESCRIBE))
    with pytest.raises(ProtocolViolation, match="does not fit its relation"):
        session.feed(wire.frame(1, message + b"\x00"))


@pytest.mark.parametrize(
    "message",
    [
        INSERT.replace(b"N\x00\x04", b"K\x00\x04"),
        _DELETE.replace(b"O\x00\x04", b"N\x00\x04"),
        _UPDATE.replace(b"O\x00\x04", b"X\x00\x04"),
        _UPDATE.replace(b"N\x00\x04", b"O\x00\x04"),
    ],
)
def test_a_row_message_with_another_letter_is_refused(message: bytes) -> None:
    session = capture_orders()
    session.feed(wire.frame(1, wire.begin(5000)), wire.frame(0, DESCRIBE))
    with pytest.raises(ProtocolViolation, match="does not fit its relation"):
        session.feed(wire.frame(1, message))


@given(st.sampled_from([INSERT, _UPDATE, _DELETE, wire.truncate(OID), message_with()]), st.data())
@example(INSERT, None)
def test_a_damaged_frame_is_published_or_refused_and_nothing_else(
    message: bytes, data: st.DataObject | None
) -> None:
    session = Shop(ORDERS, tables=[shop.table()], prefixes=("audit",))
    session.feed(wire.frame(1, wire.begin(5000)), wire.frame(0, DESCRIBE))
    damaged = bytearray(message)
    if data:
        for _ in range(data.draw(st.integers(1, 3))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        session.feed(wire.frame(1, bytes(damaged)))
    except SidecarError:
        return


def test_an_error_names_table_lsn_and_transaction_but_no_value() -> None:
    session = capture_orders()
    refused_row = wire.insert(OID, ("1", "hunter2", "NaN", None))
    with pytest.raises(Unrepresentable) as refused:
        session.transaction(DESCRIBE, refused_row, final_lsn=0x1000, xid=9)
    assert refused.value.where == "table public.orders, LSN 0/FEC, transaction 9"
    assert "hunter2" not in str(refused.value)


def test_an_event_larger_than_its_topic_takes_is_refused_with_its_size() -> None:
    session = Shop(ORDERS, tables=[shop.table()], max_message_bytes=1000)
    session.transaction(DESCRIBE, INSERT, final_lsn=5000)
    with pytest.raises(RecordTooLarge, match=f"topic {TOPIC} takes 488"):
        session.transaction(wire.insert(OID, ("1", "x" * 500, None, None)), final_lsn=6000)
