"""Avro's primitives, with fastavro's writer as the oracle."""

import io
import math
import struct
from typing import Any

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_sidecar.events import binary


def _fastavro(schema: str | list[Any] | dict[str, Any], value: object) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


_EDGES = sorted(
    edge
    for power in range(64)
    for edge in {-(2**power) - 1, -(2**power), -(2**power) + 1, 2**power - 1, 2**power}
    if -(2**63) <= edge < 2**63
)


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_long_is_what_fastavro_writes(number: int) -> None:
    assert binary.encode_long(number) == _fastavro("long", number)


def test_a_long_is_what_fastavro_writes_at_every_power_of_two() -> None:
    for number in _EDGES:
        assert binary.encode_long(number) == _fastavro("long", number)


@given(st.binary(max_size=300))
@example(bytes(8191))
@example(bytes(8192))
@example(bytes(2**21))
def test_bytes_are_what_fastavro_writes(content: bytes) -> None:
    assert binary.encode_bytes(content) == _fastavro("bytes", content)


@given(st.text(max_size=100))
def test_a_string_is_what_fastavro_writes(text: str) -> None:
    assert binary.encode_string(text) == _fastavro("string", text)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=100))
def test_an_array_is_what_fastavro_reads(numbers: list[int]) -> None:
    written = io.BytesIO(binary.encode_array([binary.encode_long(number) for number in numbers]))
    schema = fastavro.parse_schema({"type": "array", "items": "long"})
    assert fastavro.schemaless_reader(written, schema, None) == numbers
    assert not written.read()


@given(st.floats())
def test_a_double_is_what_fastavro_writes(number: float) -> None:
    assert binary.encode_double(number) == _fastavro("double", number)


@given(st.floats(width=32))
def test_a_float_is_what_fastavro_writes(number: float) -> None:
    assert binary.encode_float(number) == _fastavro("float", number)


def test_the_branches_of_a_union_are_what_fastavro_writes() -> None:
    assert _fastavro(["null", "long"], None) == binary.NULL
    assert binary.SOME + binary.encode_long(5) == _fastavro(["null", "long"], 5)
    assert _fastavro({"type": "array", "items": "long"}, []) == binary.EMPTY


def test_a_number_too_large_for_a_float_is_refused() -> None:
    with pytest.raises((OverflowError, struct.error)):
        binary.encode_float(math.ldexp(1.0, 200))
