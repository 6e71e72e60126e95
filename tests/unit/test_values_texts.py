"""Bytes and masks are read back, and each operation refuses a text of another form."""

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_sidecar.events import values
from cdc_sidecar.events.values import Operation
from tests.unit.avro_values import read_value


@given(st.binary(max_size=200))
def test_bytea_is_read_back(content: bytes) -> None:
    assert read_value("bytes", values.encode_bytea(b"\\x" + content.hex().encode())) == content


@given(st.binary(max_size=100))
def test_a_masked_column_is_the_sha_256_of_its_text(text: bytes) -> None:
    assert read_value("string", values.encode_hash(text)) == hashlib.sha256(text).hexdigest()


# --- any other text


_OPERATIONS: list[Callable[[bytes], bytes]] = [
    values.encode_boolean,
    values.encode_integer,
    values.encode_float4,
    values.encode_float8,
    values.encode_bytea,
    values.decimal_operation(2),
    values.encode_money,
    values.encode_date,
    values.encode_time,
    values.encode_timetz,
    values.encode_timestamp,
    values.encode_timestamptz,
    values.array_operation(values.encode_integer, ","),
    values.array_operation(values.encode_timestamptz, ","),
]
_ALMOST = st.text(st.sampled_from('0123456789-+:. {}",TEeNaInfty\\xBC_\0é'), max_size=14)


@pytest.mark.parametrize("operation", _OPERATIONS)
@given(text=st.binary(max_size=20) | _ALMOST.map(str.encode))
@example(text=b"1e999")
@example(text=b"2020-01-01 00:00:00+00")
@example(text=b"2020-01-01 00:00:00")
@example(text=b"1e39")
def test_a_text_of_any_other_form_is_encoded_or_refused_and_nothing_else(
    operation: Operation, text: bytes
) -> None:
    try:
        operation(text)
    except (
        ValueError,
        KeyError,
        OverflowError,
    ):  # the exceptions that `transcode` takes for a refusal
        return
