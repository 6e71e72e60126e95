"""The reader undoes the operations: it spells values as Postgres printed them."""

import io
import json
from typing import Any

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_sidecar.errors import SchemasUnreadable
from cdc_sidecar.events import reader, values
from cdc_sidecar.events.reader import EventReader
from cdc_sidecar.events.values import DAY, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN

_NOTHING: dict[int, str] = {}
_FIRST_DAY = -2440588  # 4714-11-24 BC
_LAST_DAY = 2147483493  # 5874897-12-31
_DAYS = st.integers(_FIRST_DAY, _LAST_DAY) | st.sampled_from([INT32_MIN, INT32_MAX])
_MICROSECONDS = st.integers(_FIRST_DAY * DAY, INT64_MAX) | st.just(INT64_MIN)


def _long(written: bytes) -> object:
    return fastavro.schemaless_reader(io.BytesIO(written), fastavro.parse_schema("long"), None)


@given(_DAYS)
@example(_FIRST_DAY)
@example(_LAST_DAY)
@example(-719528)
@example(-719162)
def test_a_date_is_spelled_as_it_was_read(days: int) -> None:
    assert _long(values.encode_date(reader.spell_date(days).encode())) == days


@given(_MICROSECONDS)
@example(_FIRST_DAY * DAY)
@example(INT64_MAX - 1)
@example(-62_135_596_800_000_001)
@example(-1)
def test_a_timestamp_is_spelled_as_it_was_read(microseconds: int) -> None:
    local = reader.spell_timestamp(microseconds, "")
    assert _long(values.encode_timestamp(local.encode())) == microseconds
    instant = reader.spell_timestamp(microseconds, "+00")
    assert _long(values.encode_timestamptz(instant.encode())) == microseconds


@given(st.integers(0, DAY))
@example(DAY)
def test_a_time_is_spelled_as_it_was_read(microseconds: int) -> None:
    assert _long(values.encode_time(reader.spell_time(microseconds).encode())) == microseconds


@given(st.integers(-(10**40), 10**40), st.integers(0, 20))
@example(-1, 2)
@example(0, 3)
@example(10**1000 - 1, 500)
def test_a_decimal_is_spelled_as_it_was_read(unscaled: int, scale: int) -> None:
    written = values.decimal_operation(scale)(reader.spell_decimal(unscaled, scale).encode())
    assert written == values.encode_unscaled(unscaled)


@given(st.integers(-(10**9), 10**9))
def test_days_and_calendar_are_inverse(days: int) -> None:
    assert values.days_from_civil(*reader.civil_from_days(days)) == days


@pytest.mark.parametrize(
    ("spelled", "text"),
    [
        (reader.spell_date(0), "1970-01-01"),
        (reader.spell_date(-719163), "0001-12-31 BC"),
        (reader.spell_date(INT32_MAX), "infinity"),
        (reader.spell_date(INT32_MIN), "-infinity"),
        (reader.spell_time(DAY), "24:00:00"),
        (reader.spell_time(1), "00:00:00.000001"),
        (reader.spell_time(500_000), "00:00:00.5"),
        (
            reader.spell_timestamp(-62_135_596_800_000_001, "+00"),
            "0001-12-31 23:59:59.999999+00 BC",
        ),
        (reader.spell_timestamp(INT64_MAX, "+00"), "infinity"),
        (reader.spell_decimal(-5, 2), "-0.05"),
        (reader.spell_decimal(5, 0), "5"),
    ],
)
def test_the_spelling_is_postgres_own(spelled: str, text: str) -> None:
    assert spelled == text


_LEAVES: list[Any] = [
    "boolean",
    "int",
    "long",
    "float",
    "double",
    "bytes",
    "string",
    {"type": "int", "logicalType": "date"},
    {"type": "long", "logicalType": "time-micros"},
    {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "long", "logicalType": "local-timestamp-micros"},
    {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
    {"type": "string", "logicalType": "uuid"},
    {"type": "array", "items": ["null", {"type": "int", "logicalType": "date"}]},
]
_RANGES = {"int": (INT32_MIN, INT32_MAX), "long": (INT64_MIN, INT64_MAX)}


@given(st.data())
def test_no_value_that_avro_can_hold_makes_the_reader_raise(data: st.DataObject) -> None:
    leaf = data.draw(st.sampled_from(_LEAVES))
    plain = leaf if isinstance(leaf, str) else leaf["type"]
    others: dict[str, st.SearchStrategy[object]] = {
        "boolean": st.booleans(),
        "float": st.floats(width=32),
        "double": st.floats(),
        "bytes": st.binary(max_size=20),
        "string": st.text(max_size=20),
        "array": st.lists(st.none() | st.integers(*_RANGES["int"]), max_size=4),
    }
    drawn = others[plain] if plain in others else st.integers(*_RANGES[plain])
    value = data.draw(drawn)
    schema = {"type": "record", "name": "R", "fields": [{"name": "f", "type": ["null", leaf]}]}
    out = io.BytesIO()
    bare = fastavro.parse_schema(reader.without_logical_types(schema))
    fastavro.schemaless_writer(out, bare, {"f": value})
    framed = b"\x00\x00\x00\x00\x07" + out.getvalue()
    read = EventReader({7: json.dumps(schema)}.get).read(framed)
    json.dumps(read, allow_nan=False)


def test_bytes_become_hex_and_odd_floats_their_names() -> None:
    schemas = {1: '"bytes"', 2: '"double"'}
    read = EventReader(schemas.get).read
    assert read(b"\x00\x00\x00\x00\x01" + b"\x04\xca\xfe") == "cafe"
    assert read(b"\x00\x00\x00\x00\x02" + values.encode_float8(b"NaN")) == "NaN"
    assert read(b"\x00\x00\x00\x00\x02" + values.encode_float8(b"-Infinity")) == "-Infinity"


@pytest.mark.parametrize("framed", [b"", b"\x00\x00\x00", b"\x01\x00\x00\x00\x01x", b"{}  {}"])
def test_what_is_not_framed_is_named_as_such(framed: bytes) -> None:
    with pytest.raises(SchemasUnreadable, match="without Confluent's frame"):
        EventReader(_NOTHING.get).read(framed)


def test_an_unknown_schema_is_named_by_its_id() -> None:
    with pytest.raises(SchemasUnreadable, match="schema id 258 is not in the registry"):
        EventReader(_NOTHING.get).read(b"\x00\x00\x00\x01\x02abc")
