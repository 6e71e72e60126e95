"""Every operation writes what fastavro reads back as the same value, or refuses by kind."""

import hashlib
import io
import math
import struct
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_sidecar.events import values
from cdc_sidecar.events.binary import encode_bytes
from cdc_sidecar.events.values import Operation, ValueRefused

_INT64 = st.integers(-(2**63), 2**63 - 1)


def _read(schema: str | dict[str, Any], written: bytes) -> Any:  # noqa: ANN401 - what fastavro says
    stream = io.BytesIO(written)
    value = fastavro.schemaless_reader(stream, fastavro.parse_schema(schema), None)
    assert not stream.read()
    return value


def _logical(kind: str, logical: str, **more: object) -> dict[str, Any]:
    return {"type": kind, "logicalType": logical, **more}


_TIMESTAMPTZ = _logical("long", "timestamp-micros")
_TIMESTAMP = _logical("long", "local-timestamp-micros")


def test_booleans_are_t_and_f() -> None:
    assert _read("boolean", values.encode_boolean(b"t")) is True
    assert _read("boolean", values.encode_boolean(b"f")) is False


@given(_INT64)
@example(-(2**63))
@example(2**63 - 1)
def test_an_integer_of_up_to_64_bits_is_read_back(number: int) -> None:
    assert _read("long", values.encode_integer(b"%d" % number)) == number


@given(st.integers(-(2**31), 2**31 - 1))
def test_an_integer_of_up_to_32_bits_is_read_back_as_an_int(number: int) -> None:
    assert _read("int", values.encode_integer(b"%d" % number)) == number


# --- floats


@given(st.floats(allow_nan=False))
@example(5e-324)
@example(1.7976931348623157e308)
@example(-0.0)
def test_a_double_is_read_back_bit_by_bit(number: float) -> None:
    read = _read("double", values.encode_float8(repr(number).encode()))
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
    read = _read("float", values.encode_float4(text.encode()))
    assert struct.pack(">f", read) == struct.pack(">f", number)


@pytest.mark.parametrize("operation", [values.encode_float4, values.encode_float8])
@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"-Infinity"])
def test_floats_keep_nan_and_the_infinities(operation: Operation, text: bytes) -> None:
    kind = "float" if operation is values.encode_float4 else "double"
    read = _read(kind, operation(text))
    assert read == float(text) or (math.isnan(read) and text == b"NaN")


def test_a_real_is_not_rounded_twice() -> None:
    # text → double → float gives 0x15AE43FE: the double lies in the middle of two floats
    assert values.encode_float4(b"7.038531e-26") == bytes.fromhex("fd43ae15")
    assert values.encode_float4(b"-7.038531e-26") == bytes.fromhex("fd43ae95")
    assert struct.pack("<f", float("7.038531e-26")) == bytes.fromhex("fe43ae15")


# --- decimals


def _unscaled(written: bytes) -> int:
    return int.from_bytes(_read("bytes", written), "big", signed=True)


@given(st.integers(-(10**60), 10**60), st.integers(0, 30))
def test_a_decimal_is_read_back_exactly(number: int, scale: int) -> None:
    text = _spelled(number, scale)
    schema = _logical("bytes", "decimal", precision=100, scale=scale)
    written = values.decimal_operation(scale)(text.encode())
    assert _read(schema, written) == Decimal(text)
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
    content = _read("bytes", written)
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


# --- bytes and text


@given(st.binary(max_size=200))
def test_bytea_is_read_back(content: bytes) -> None:
    assert _read("bytes", values.encode_bytea(b"\\x" + content.hex().encode())) == content


@given(st.binary(max_size=100))
def test_a_masked_column_is_the_sha_256_of_its_text(text: bytes) -> None:
    assert _read("string", values.encode_hash(text)) == hashlib.sha256(text).hexdigest()


# --- dates and times


@given(st.dates())
@example(date.min)
@example(date.max)
@example(date(1970, 1, 1))
@example(date(2000, 2, 29))
def test_a_date_is_read_back(day: date) -> None:
    written = values.encode_date(day.isoformat().encode())
    assert _read(_logical("int", "date"), written) == day


@pytest.mark.parametrize(
    ("text", "days"),
    [
        (b"infinity", 2**31 - 1),
        (b"-infinity", -(2**31)),
        (b"0001-12-31 BC", -719163),
        (b"0001-01-01 BC", -719528),
        (b"4714-11-24 BC", -2440588),
        (b"10000-01-01", 2932897),
        (b"5874897-12-31", 2145042905),
    ],
)
def test_a_date_beyond_what_python_holds_is_counted_in_days(text: bytes, days: int) -> None:
    assert _read("int", values.encode_date(text)) == days


@given(st.dates(), st.integers(-3, 3))
def test_days_are_counted_alike_in_every_400_years(day: date, cycles: int) -> None:
    days = values.days_from_civil(day.year + 400 * cycles, day.month, day.day)
    assert days == day.toordinal() - date(1970, 1, 1).toordinal() + 146097 * cycles


@given(st.times())
@example(time.max)
def test_a_time_is_read_back(moment: time) -> None:
    written = values.encode_time(moment.isoformat().encode())
    assert _read(_logical("long", "time-micros"), written) == moment


def test_midnight_at_the_end_of_a_day_is_a_whole_day() -> None:
    assert _read("long", values.encode_time(b"24:00:00")) == 86_400_000_000


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        (b"12:00:00+00", "12:00:00+00:00"),
        (b"12:00:00.5-08", "12:00:00.5-08:00"),
        (b"12:00:00+05:30", "12:00:00+05:30"),
        (b"24:00:00-15:59:59", "24:00:00-15:59:59"),
    ],
)
def test_a_time_with_zone_is_iso_text_with_the_minutes_of_its_offset(
    text: bytes, spelled: str
) -> None:
    assert _read("string", values.encode_timetz(text)) == spelled


@given(st.datetimes())
@example(datetime.min)  # noqa: DTZ901 - a local timestamp has no zone
@example(datetime.max)  # noqa: DTZ901 - as above
def test_a_timestamp_is_read_back(moment: datetime) -> None:
    text = moment.isoformat(" ").encode()
    assert _read(_TIMESTAMP, values.encode_timestamp(text)) == moment
    instant = moment.replace(tzinfo=UTC)
    assert _read(_TIMESTAMPTZ, values.encode_timestamptz(text + b"+00")) == instant


@given(st.datetimes(min_value=datetime(2, 1, 1)), st.integers(-15 * 60, 15 * 60))  # noqa: DTZ001 - as above
def test_a_timestamp_with_zone_is_the_same_instant_in_every_zone(
    moment: datetime, minutes: int
) -> None:
    hours, rest = divmod(abs(minutes), 60)
    zone = f"{'-' if minutes < 0 else '+'}{hours:02d}" + (f":{rest:02d}" if rest else "")
    text = moment.isoformat(" ") + zone
    instant = moment - timedelta(minutes=minutes) - datetime(1970, 1, 1)  # noqa: DTZ001 - as above
    expected = instant // timedelta(microseconds=1)
    assert _read("long", values.encode_timestamptz(text.encode())) == expected


_BOTH_TIMESTAMPS = pytest.mark.parametrize(
    ("operation", "zone"),
    [(values.encode_timestamp, b""), (values.encode_timestamptz, b"+00")],
)


@_BOTH_TIMESTAMPS
@pytest.mark.parametrize(
    ("moment", "era", "microseconds"),
    [
        (b"0001-12-31 23:59:59.999999", b" BC", -62_135_596_800_000_001),
        (b"4714-11-24 00:00:00", b" BC", -2440588 * 86_400_000_000),
        (b"10000-01-01 00:00:00", b"", 253_402_300_800_000_000),
        (b"294247-01-10 04:00:54.775806", b"", 2**63 - 2),
    ],
)
def test_a_timestamp_beyond_what_python_holds_is_counted_in_microseconds(
    operation: Operation, zone: bytes, moment: bytes, era: bytes, microseconds: int
) -> None:
    assert _read("long", operation(moment + zone + era)) == microseconds


@_BOTH_TIMESTAMPS
def test_the_infinities_of_time_are_the_ends_of_64_bits(operation: Operation, zone: bytes) -> None:
    del zone  # infinity has none
    assert _read("long", operation(b"infinity")) == 2**63 - 1
    assert _read("long", operation(b"-infinity")) == -(2**63)


@_BOTH_TIMESTAMPS
@pytest.mark.parametrize(
    "moment", [b"294247-01-10 04:00:54.775807", b"294247-01-11 00:00:00", b"294276-12-31 23:59:59"]
)
def test_a_timestamp_at_or_beyond_the_infinities_is_refused(
    operation: Operation, zone: bytes, moment: bytes
) -> None:
    with pytest.raises(ValueRefused, match="beyond 64 bits"):
        operation(moment + zone)


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (values.encode_date, b"02/29/2024"),
        (values.encode_date, b"epoch"),
        (values.encode_time, b"9 o'clock"),
        (values.encode_timestamp, b"29.02.2024 10:00:00"),
        (values.encode_timestamp, b"2024-02-29 10:00:00+00"),
        (values.encode_timestamptz, b"2024-02-29 10:00:00"),
        (values.encode_timestamp, b"10000-01-01 00:00:00+00"),
        (values.encode_timestamptz, b"10000-01-01 00:00:00"),
        (values.encode_timestamptz, b"Thu Feb 29 10:00:00 2024 UTC"),
    ],
)
def test_a_form_of_date_or_time_that_was_not_pinned_is_refused(
    operation: Operation, text: bytes
) -> None:
    with pytest.raises(ValueRefused, match="other than ISO"):
        operation(text)


# --- arrays


_TEXT_ARRAY = {"type": "array", "items": ["null", "string"]}


def _spell_array(items: list[str | None], delimiter: str = ",") -> bytes:
    """Spell an array as Postgres does, always quoting."""
    spelled = (
        "NULL" if item is None else '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for item in items
    )
    return ("{" + delimiter.join(spelled) + "}").encode()


@given(st.lists(st.none() | st.text(st.sampled_from('ab",\\{}; N\néNULL'), max_size=8), max_size=8))
@example(["NULL", None, "null", "", '"', "\\", ",", "{}", 'a\\"b,', "\n"])
def test_an_array_of_text_is_read_back(items: list[str | None]) -> None:
    operation = values.array_operation(encode_bytes, ",")
    assert _read(_TEXT_ARRAY, operation(_spell_array(items))) == items


@pytest.mark.parametrize(
    ("text", "items"),
    [
        (b"{}", []),
        (b"{NULL}", [None]),
        (b'{"NULL"}', ["NULL"]),
        (b"{null}", ["null"]),
        (b'{a b,"c d",e}', ["a b", "c d", "e"]),
        (b'{"",x}', ["", "x"]),
        (rb'{"a\"b","c\\d","{e}","f,g"}', ['a"b', "c\\d", "{e}", "f,g"]),
    ],
)
def test_an_array_is_read_as_postgres_spells_it(text: bytes, items: list[str | None]) -> None:
    assert _read(_TEXT_ARRAY, values.array_operation(encode_bytes, ",")(text)) == items


@given(st.lists(st.none() | _INT64, max_size=20))
def test_an_array_of_numbers_is_read_back(numbers: list[int | None]) -> None:
    text = "{" + ",".join("NULL" if n is None else str(n) for n in numbers) + "}"
    schema = {"type": "array", "items": ["null", "long"]}
    operation = values.array_operation(values.encode_integer, ",")
    assert _read(schema, operation(text.encode())) == numbers


def test_an_array_of_a_type_with_another_delimiter_is_split_there() -> None:
    boxes = values.array_operation(encode_bytes, ";")
    assert _read(_TEXT_ARRAY, boxes(b"{(1,1),(0,0);(2,2),(1,1)}")) == ["(1,1),(0,0)", "(2,2),(1,1)"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{{1,2},{3,4}}", "more than one dimension"),
        (b"{{{1}}}", "more than one dimension"),
        (b"[0:1]={1,2}", "bounds do not begin at 1"),
        (b"[2:2][1:1]={{1}}", "bounds do not begin at 1"),
        (b"{1,2", "an unknown form"),
        (b"{1,2}}", "an unknown form"),
        (b"{1,,2}", "an unknown form"),
        (b'{"a}', "an unknown form"),
        (b"1,2", "more than one dimension"),
        (b"{", "an unknown form"),
        (b"{1,", "an unknown form"),
    ],
)
def test_an_array_that_avro_or_we_cannot_hold_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ValueRefused, match=reason):
        values.array_operation(encode_bytes, ",")(text)


def test_what_an_element_refuses_the_array_refuses() -> None:
    with pytest.raises(ValueRefused, match="NaN or an infinity"):
        values.array_operation(values.decimal_operation(2), ",")(b"{1.00,NaN}")


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
