"""Every operation of a boolean or a number writes what fastavro reads back, or refuses by kind."""

import math
import struct
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_sidecar.events import values
from cdc_sidecar.events.values import Operation, ValueRefused
from tests.unit.avro_values import INT64, logical_type, read_value


def test_booleans_are_t_and_f() -> None:
    assert read_value("boolean", values.encode_boolean(b"t")) is True
    assert read_value("boolean", values.encode_boolean(b"f")) is False


@given(INT64)
@example(-(2**63))
@example(2**63 - 1)
def test_an_integer_of_up_to_64_bits_is_read_back(number: int) -> None:
    assert read_value("long", values.encode_integer(b"%d" % number)) == number


@given(st.integers(-(2**31), 2**31 - 1))
def test_an_integer_of_up_to_32_bits_is_read_back_as_an_int(number: int) -> None:
    assert read_value("int", values.encode_integer(b"%d" % number)) == number


# --- floats


@given(st.floats(allow_nan=False))
@example(5e-324)
@example(1.7976931348623157e308)
@example(-0.0)
def test_a_double_is_read_back_bit_by_bit(number: float) -> None:
    read = read_value("double", values.encode_float8(repr(number).encode()))
    assert struct.pack(">d", read) == struct.pack(">d", number)


@given(st.floats(width=32, allow_nan=False))
@example(1.401298464324817e-45)
@example(3.4028234663852886e38)
def test_a_real_is_read_back_from_the_shortest_text_that_names_it(number: float) -> None:
    for digits in range(1, 10):
        text = f"{number:.{digits}g}"
        try:
            exact = struct.unpack("<f", struct.pack("<f", float(text)))[0] == number
        except OverflowError:
            exact = False
        if exact:
            break
    read = read_value("float", values.encode_float4(text.encode()))
    assert struct.pack(">f", read) == struct.pack(">f", number)


@pytest.mark.parametrize("operation", [values.encode_float4, values.encode_float8])
@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"-Infinity"])
def test_floats_keep_nan_and_the_infinities(operation: Operation, text: bytes) -> None:
    kind = "float" if operation is values.encode_float4 else "double"
    read = read_value(kind, operation(text))
    assert read == float(text) or (math.isnan(read) and text == b"NaN")


def test_a_real_is_not_rounded_twice() -> None:
    # text → double → float gives 0x15AE43FE: the double lies in the middle of two floats
    assert values.encode_float4(b"7.038531e-26") == bytes.fromhex("fd43ae15")
    assert values.encode_float4(b"-7.038531e-26") == bytes.fromhex("fd43ae95")
    assert struct.pack("<f", float("7.038531e-26")) == bytes.fromhex("fe43ae15")


# --- decimals


def _unscaled(written: bytes) -> int:
    return int.from_bytes(read_value("bytes", written), "big", signed=True)


@given(st.integers(-(10**60), 10**60), st.integers(0, 30))
def test_a_decimal_is_read_back_exactly(number: int, scale: int) -> None:
    text = _spelled(number, scale)
    schema = logical_type("bytes", "decimal", precision=100, scale=scale)
    written = values.decimal_operation(scale)(text.encode())
    assert read_value(schema, written) == Decimal(text)
    assert _unscaled(written) == number


def _spelled(number: int, scale: int) -> str:
    digits = str(abs(number)).rjust(scale + 1, "0")
    whole, fraction = digits[: len(digits) - scale], digits[len(digits) - scale :]
    return ("-" if number < 0 else "") + whole + ("." + fraction if fraction else "")


@pytest.mark.parametrize(
    ("text", "scale", "number"),
    [
        ("0", 0, 0),
        ("0.00", 2, 0),
        ("-0.01", 2, -1),
        ("-1.28", 2, -128),
        ("1.27", 2, 127),
        ("1.28", 2, 128),
        ("-1.29", 2, -129),
        ("99999999.99", 2, 9_999_999_999),
        ("-99999999.99", 2, -9_999_999_999),
        ("0.000001", 6, 1),
        ("5", 2, 500),
        ("5.1", 2, 510),
        ("9" * 1000, 0, 10**1000 - 1),
        ("-" + "9" * 500 + "." + "9" * 500, 500, 1 - 10**1000),
    ],
)
def test_a_decimal_is_its_unscaled_number_in_the_fewest_bytes(
    text: str, scale: int, number: int
) -> None:
    written = values.decimal_operation(scale)(text.encode())
    content = read_value("bytes", written)
    assert int.from_bytes(content, "big", signed=True) == number
    with suppress(OverflowError):  # zero is one byte: an empty one is no number to Java
        number.to_bytes(max(1, len(content) - 1), "big", signed=True)
        assert len(content) == 1


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"-Infinity"])
@pytest.mark.parametrize("scale", [0, 1, 2, 3, 7, 10])
def test_what_no_decimal_can_hold_is_refused(text: bytes, scale: int) -> None:
    with pytest.raises(ValueRefused, match="NaN or an infinity"):
        values.decimal_operation(scale)(text)


def test_a_number_with_more_digits_than_the_scale_is_refused_not_rounded() -> None:
    with pytest.raises(ValueRefused, match="more than 2 fraction digits"):
        values.decimal_operation(2)(b"1.005")


@pytest.mark.parametrize(
    ("text", "cents"),
    [
        (b"$0.00", 0),
        (b"$1,234.56", 123456),
        (b"-$1,234.56", -123456),
        (b"($1,234.56)", -123456),
        ("1.234,56 €".encode(), 123456),
        ("-1 234,56 €".encode(), -123456),
        ("1 234,56- €".encode(), -123456),
        (b"$92,233,720,368,547,758.07", 2**63 - 1),
        (b"-$92,233,720,368,547,758.08", -(2**63)),
    ],
)
def test_money_is_its_cents_whatever_the_locale_writes_round_them(text: bytes, cents: int) -> None:
    assert _unscaled(values.encode_money(text)) == cents
