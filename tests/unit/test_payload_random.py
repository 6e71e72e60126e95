"""Payloads of random schemas are encoded exactly, and both twins agree on any text."""

import contextlib
import io
import json
import math
import os
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import avro.io
import avro.schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc_sidecar.events.payload.json_text import PayloadMisfit
from tests.unit.avro_schemas import schemas_with_values, spell
from tests.unit.test_payload import decode, encode

Json = Any

EXAMPLES = int(os.environ.get("TWIN_EXAMPLES", "100"))


def means(schema: Json, value: Json, read: Json) -> bool:
    """Return whether a reader has got what the JSON says."""
    match schema:
        case list():
            for branch in schema:
                name = branch.get("name") if isinstance(branch, dict) else None
                if isinstance(value, dict) and value.keys() == {name}:
                    return means(branch, value[branch["name"]], read)
            return any(means(branch, value, read) for branch in schema)
        case {"type": "record"}:
            return isinstance(value, dict) and all(
                means(field["type"], value[field["name"]], read[field["name"]])
                for field in schema["fields"]
                if isinstance(read, dict)
            )
        case {"type": "array"}:
            return all(means(schema["items"], *pair) for pair in zip(value, read, strict=True))
        case {"type": "map"}:
            return value.keys() == read.keys() and all(
                means(schema["values"], value[key], read[key]) for key in value
            )
        case _:
            return _is_meant(value, read)


def _is_meant(value: Json, read: Json) -> bool:  # noqa: PLR0911 - a type each
    """Compare a value that has no parts."""
    match read:
        case bytes():
            return bool(value.encode("latin-1") == read)
        case Decimal():
            return Decimal(value) == read
        case UUID():
            return UUID(value) == read
        case datetime():
            if isinstance(value, int):
                return True  # out of Python's range, or compared by the other reader
            given = datetime.fromisoformat(value)
            return given == (read if given.tzinfo else read.replace(tzinfo=None))
        case date():
            given_day = value if isinstance(value, str) else None
            return given_day is None or date.fromisoformat(given_day) == read
        case float():
            return math.isclose(float(value), read, rel_tol=1e-7)
        case time():
            return isinstance(value, int) or time.fromisoformat(value) == read
        case _:
            return bool(value == read)


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_fits_a_random_schema_is_read_by_two_libraries_as_it_was_meant(
    data: st.DataObject,
) -> None:
    schema, values = data.draw(schemas_with_values())
    value = data.draw(values)
    encoded = encode(schema, spell(value))
    plain = _without_logical(schema)
    ours = decode(plain, encoded)
    decoder = avro.io.BinaryDecoder(io.BytesIO(encoded))
    apache = avro.io.DatumReader(avro.schema.parse(json.dumps(plain))).read(decoder)
    assert apache == ours
    try:
        read = decode(schema, encoded)
    except (OverflowError, ValueError):
        return  # a moment that Python cannot hold
    assert means(schema, value, read), (schema, value, read)


def _without_logical(schema: Json) -> Json:
    if isinstance(schema, dict):
        kept = {key: value for key, value in schema.items() if key != "logicalType"}
        return {key: _without_logical(value) for key, value in kept.items()}
    return [_without_logical(item) for item in schema] if isinstance(schema, list) else schema


_PARTS = [
    '{"f0":', '"f1":', "{", "}", "[", "]", ",", ":", '"a"', '"\\u00e9"', '"\\ud800"', "1", "-0",
    "1.5", "1e9", "null", "true", " ", '"2024-01-01"', "\x00", "é", '"NEW"', "01", '"12.50"',
]  # fmt: skip
_PIECES = st.lists(
    st.sampled_from(_PARTS),
    max_size=14,
)


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_twins_agree_on_any_text(data: st.DataObject) -> None:
    schema, values = data.draw(schemas_with_values())
    text = spell(data.draw(values)).decode()
    at = data.draw(st.integers(0, len(text)))
    until = data.draw(st.integers(at, min(len(text), at + 6)))
    changed = text[:at] + "".join(data.draw(_PIECES)) + text[until:]
    with contextlib.suppress(PayloadMisfit):
        encode(schema, changed.encode())
