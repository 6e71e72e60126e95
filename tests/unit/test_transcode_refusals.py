"""A tuple that cannot be transcoded is refused, and the error shows no value."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_sidecar.errors import ProtocolViolation, Unrepresentable
from cdc_sidecar.events.transcode import columns_of, transcode
from cdc_sidecar.postgres.pgoutput import UNCHANGED
from tests.unit import wire
from tests.unit.shop import TEXT, compiled, layout
from tests.unit.tuples import ODD, START, insert_frame, transcode_update


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("id", None, "NULL in a key"),
        ("id", UNCHANGED, "NULL in a key"),
        ("amount", "NaN", "NaN or an infinity, which no Avro decimal can hold"),
        ("amount", "4711.1234", "a number with more than 2 fraction digits"),
        ("at", "294276-12-31 23:59:58", "a timestamp beyond 64 bits of microseconds"),
        ("list", "{{4711}}", "an array of more than one dimension"),
        ("list", "[0:0]={4711}", "an array whose bounds do not begin at 1"),
        ("flag", "4711", "a text that is not a value of this type"),
        ("f", "4711e99", "a text that is not a value of this type"),
        ("id", "x4711", "a text that is not a value of this type"),
        ("at", b"\xff4711", "a timestamp in a form other than ISO"),
    ],
)
def test_a_refused_value_names_its_column_and_never_the_value(
    column: str, cell: wire.Cell, reason: str
) -> None:
    cells: dict[str, wire.Cell] = dict.fromkeys(("id", "amount", "at", "list", "flag", "f"))
    cells |= {"id": "1", column: cell}
    with pytest.raises(Unrepresentable) as refused:
        transcode(compiled(ODD), insert_frame(*cells.values()), START)
    assert reason in refused.value.fact
    assert f"in column {column} (" in refused.value.fact
    told = str(refused.value)
    assert "4711" not in told
    assert "294276-12" not in told
    assert refused.value.__suppress_context__
    assert ('as = "text"' in refused.value.hint) == (reason != "NULL in a key")


def test_a_value_refused_in_a_later_column_is_not_blamed_on_one_that_is_not_sent() -> None:
    plan = compiled(ODD, columns=["id", "amount"])
    with pytest.raises(Unrepresentable, match="in column amount"):
        transcode(plan, insert_frame("1", "NaN", "x", "x", "x", "x"), START)


def test_a_refused_value_of_the_old_row_names_its_column() -> None:
    plan = compiled(ODD)
    others: list[wire.Cell] = [None] * 4
    with pytest.raises(Unrepresentable, match="in column amount"):
        transcode_update(plan, ["1", "NaN", *others], ["1", UNCHANGED, *others])


# --- malformed tuples


_GOOD = insert_frame("1", "12.50", "2024-02-29 00:00:00", "{1,NULL}", "t", "1.5")


@pytest.mark.parametrize("cells", [[], ["1"], ["1", None, None, None, None, None, None]])
def test_a_tuple_of_another_width_is_refused(cells: list[str | None]) -> None:
    with pytest.raises(ProtocolViolation, match="does not fit its relation"):
        transcode(compiled(ODD), insert_frame(*cells), START)


def test_a_tuple_is_refused_wherever_it_is_cut() -> None:
    plan = compiled(ODD)
    for end in range(START, len(_GOOD)):
        with pytest.raises(ProtocolViolation, match="does not fit its relation"):
            transcode(plan, _GOOD[:end], START)


@pytest.mark.parametrize("length", [2**32 - 1, 2**31, 1000])
def test_a_length_beyond_the_frame_is_refused(length: int) -> None:
    plan = compiled(layout("t", {"a": TEXT}), unkeyed=True)
    lying = wire.frame(1, b"I" + bytes(4) + b"N" + struct.pack(">HcI", 1, b"t", length) + b"abc")
    with pytest.raises(ProtocolViolation, match="does not fit its relation"):
        transcode(plan, lying, START)
    with pytest.raises(ProtocolViolation, match="does not fit its relation"):
        columns_of(lying, START)


@pytest.mark.parametrize("kind", [b"b", b"T", b"\0"])
def test_a_cell_of_an_unknown_kind_is_refused_never_null(kind: bytes) -> None:
    plan = compiled(layout("t", {"a": TEXT}), unkeyed=True)
    binary = wire.frame(1, b"I" + bytes(4) + b"N" + struct.pack(">HcI", 1, kind, 1) + b"x")
    with pytest.raises(ProtocolViolation, match="does not fit its relation"):
        transcode(plan, binary, START)
    with pytest.raises(ProtocolViolation, match="does not fit its relation"):
        columns_of(binary, START)


@given(st.data())
def test_a_damaged_tuple_is_written_or_refused_and_nothing_else(data: st.DataObject) -> None:
    damaged = bytearray(_GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(START, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    frame = bytes(damaged[: data.draw(st.integers(START, len(damaged)))])
    try:
        transcode(compiled(ODD), frame, START, START)
    except (ProtocolViolation, Unrepresentable):
        return


@given(st.binary(max_size=60))
@example(b"")
def test_any_bytes_as_a_tuple_are_written_or_refused_and_nothing_else(content: bytes) -> None:
    frame = bytes(START) + b"\x00\x06" + content
    try:
        transcode(compiled(ODD), frame, START, START)
        columns_of(frame, START)
    except (ProtocolViolation, Unrepresentable):
        return
