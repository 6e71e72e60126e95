"""A payload in JSON becomes Avro exactly, or it is refused with the path of what is wrong."""

import io
import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import pytest

from cdc_sidecar.events import twin
from cdc_sidecar.events.payload.encode import encode_payload
from cdc_sidecar.events.payload.json_text import PayloadMisfit
from cdc_sidecar.events.payload.plan import compile_payload
from tests.unit.avro_schemas import spell

Json = Any

EXAMPLES = int(os.environ.get("TWIN_EXAMPLES", "100"))

_LINE = {
    "type": "record",
    "name": "Line",
    "fields": [{"name": "sku", "type": "string"}, {"name": "quantity", "type": "int"}],
}
ORDER: dict[str, Any] = {
    "type": "record",
    "name": "OrderPlaced",
    "namespace": "com.example",
    "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {
            "name": "total",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2},
        },
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "lines", "type": {"type": "array", "items": _LINE}},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "OLD"]}},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "count", "type": "int", "default": 7},
        {"name": "prices", "type": {"type": "map", "values": "double"}, "default": {}},
    ],
}
FITS: dict[str, Any] = {
    "id": "01234567-89ab-cdef-0123-456789abcdef",
    "total": "12.50",
    "at": "2026-11-28T10:00:00.5+01:00",
    "lines": [{"sku": "a", "quantity": 1}, {"quantity": 2, "sku": "b"}],
    "state": "NEW",
}


def encode(schema: Json, text: bytes) -> bytes:
    """Encode by both twins, which must agree in everything."""
    plan = compile_payload(json.dumps(schema))
    native = twin.PayloadEncoder(plan)
    plain, error = _attempt(lambda: encode_payload(plan, text))
    again, same_error = _attempt(lambda: native.encode(text))
    assert again == plain
    if error is None or same_error is None:
        assert error is same_error
        return plain
    assert (same_error.path, same_error.reason) == (error.path, error.reason)
    raise error


def _attempt(call: Callable[[], bytes]) -> tuple[bytes, PayloadMisfit | None]:
    try:
        return call(), None
    except PayloadMisfit as error:
        return b"", error


def decode(schema: Json, encoded: bytes) -> Json:
    """Read with fastavro, and be sure that every byte was read."""
    stream = io.BytesIO(encoded)
    value = fastavro.schemaless_reader(stream, schema)
    assert not stream.read()
    return value


def one_field(kind: Json, value: Json) -> Json:
    """Encode a record of one field; return what a reader gets."""
    schema = {"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]}
    text = value if isinstance(value, bytes) else spell(value)
    return decode(schema, encode(schema, b'{"f":' + text + b"}"))["f"]


def refusal(schema: Json, text: bytes) -> str:
    """Return path and reason of a refusal."""
    with pytest.raises(PayloadMisfit) as refused:
        encode(schema, text)
    return f"{refused.value.path} {refused.value.reason}"


def test_a_payload_that_fits_is_encoded_and_missing_fields_take_their_defaults() -> None:
    assert decode(ORDER, encode(ORDER, spell(FITS))) == {
        "id": UUID(FITS["id"]),
        "total": Decimal("12.50"),
        "at": datetime(2026, 11, 28, 9, 0, 0, 500_000, UTC),
        "lines": [{"sku": "a", "quantity": 1}, {"sku": "b", "quantity": 2}],
        "state": "NEW",
        "note": None,
        "count": 7,
        "prices": {},
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"lines": [{"sku": "a"}]}, "$.lines[0].quantity is missing and has no default"),
        (
            {"lines": [FITS["lines"][0], {"sku": 3, "quantity": 1}]},
            "$.lines[1].sku is a number, but the schema has string",
        ),
        ({"lines": {}}, "$.lines is an object, but the schema has array"),
        ({"colour": "red"}, "$.colour is not a field of record com.example.OrderPlaced"),
        ({"not a name": 1}, "$[a name] is not a field of record com.example.OrderPlaced"),
        ({"state": "PAID"}, "$.state is not a symbol of enum com.example.State: NEW, OLD"),
        ({"count": 2**31}, "$.count is out of the range of int"),
        ({"count": 1.5}, "$.count has a fraction or an exponent, but the schema has int"),
        ({"count": "1"}, "$.count is a string, but the schema has int"),
        ({"count": True}, "$.count is a boolean, but the schema has int"),
        ({"count": None}, "$.count is null, but the schema has int"),
        ({"total": "12.505"}, "$.total has more fraction digits than decimal(6, 2)"),
        ({"total": "12345.00"}, "$.total has more digits than decimal(6, 2)"),
        ({"total": "twelve"}, "$.total does not spell a number of decimal(6, 2)"),
        ({"total": 1e300}, "$.total has more digits than decimal(6, 2)"),
        ({"id": "0123"}, "$.id is not the text of a uuid"),
        (
            {"at": "2026-11-28T10:00:00"},
            "$.at has no offset from UTC, such as Z, but timestamp-micros needs one",
        ),
        (
            {"at": "2026-02-29T10:00:00Z"},
            "$.at is not a date as ISO 8601 spells it, in timestamp-micros",
        ),
        (
            {"at": "2026-02-28T10:00:00.1234567Z"},
            "$.at has more fraction digits than timestamp-micros",
        ),
        ({"at": "yesterday"}, "$.at is not a timestamp as ISO 8601 spells it, in timestamp-micros"),
        ({"note": 3}, "$.note is a number, but the schema has string"),
        (
            {"prices": {"a": 1, "b": "dear"}},
            "$.prices[member 1] is a string, but the schema has double",
        ),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_with_its_path(
    change: dict[str, Any], expected: str
) -> None:
    assert refusal(ORDER, spell(FITS | change)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "$ is not JSON: Expecting value at character 1"),
        (b"{", "$ is not JSON: Expecting property name enclosed in double quotes at character 2"),
        (b"nothing", "$ is not JSON: Expecting value at character 1"),
        (b'{"id": NaN}', "$ is not JSON: NaN or an infinity without quotes"),
        (b"\xff", "$ is not JSON: not UTF-8"),
        (b'{"note": "\xff"}', "$ is not JSON: not UTF-8"),
        (b'{"id": "a", "id": "b"}', "$ has a member more than once"),
        (b"[]", "$ is an array, but the schema has record com.example.OrderPlaced"),
        (b"null", "$ is null, but the schema has record com.example.OrderPlaced"),
        (b"[" * 65 + b"]" * 65, "$ is nested more than 64 levels deep"),
        (b"[" * 100_000, "$ is nested more than 64 levels deep"),
    ],
)
def test_a_text_that_is_no_object_is_refused(text: bytes, expected: str) -> None:
    assert refusal(ORDER, text) == expected


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        ("long", b"-9223372036854775808", -(2**63)),
        ("long", b"9223372036854775807", 2**63 - 1),
        ("double", b'"NaN"', "nan"),
        ("double", b'"-Infinity"', float("-inf")),
        ("double", b"1E2", 100.0),
        ("float", b"0.1", 0.10000000149011612),
        ("float", b"16777217", 16777216.0),
        ("bytes", "\u0000\u00ff~", b"\x00\xff~"),
        (
            "string",
            b'"a\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\\u0000"',
            'a"\\/\b\f\n\r\té😀\0',
        ),
        ("string", "Zürich", "Zürich"),
        ({"type": "fixed", "name": "F", "size": 3}, "a\u0080b", b"a\x80b"),
        (
            {"type": "fixed", "name": "F", "size": 16, "logicalType": "uuid"},
            FITS["id"],
            UUID(FITS["id"]).bytes,
        ),
        (
            {
                "type": "fixed",
                "name": "F",
                "size": 4,
                "logicalType": "decimal",
                "precision": 9,
                "scale": 3,
            },
            b"-1.5",
            Decimal("-1.500"),
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3},
            b"1.25e2",
            Decimal("125.000"),
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 0},
            b"12.000",
            Decimal(12),
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 40, "scale": 2},
            "123456789012345678901234567890.12",
            Decimal("123456789012345678901234567890.12"),
        ),
        ({"type": "int", "logicalType": "date"}, "2024-02-29", date(2024, 2, 29)),
        ({"type": "int", "logicalType": "date"}, 1, date(1970, 1, 2)),
        ({"type": "int", "logicalType": "time-millis"}, "23:59:59.999", time(23, 59, 59, 999_000)),
        ({"type": "long", "logicalType": "time-micros"}, "00:00:00.000001", time(0, 0, 0, 1)),
        (
            {"type": "long", "logicalType": "timestamp-millis"},
            "1969-12-31T23:59:59.999Z",
            datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC),
        ),
        (
            {"type": "long", "logicalType": "timestamp-micros"},
            "2024-01-01 00:00:00-05:30",
            datetime(2024, 1, 1, 5, 30, tzinfo=UTC),
        ),
        (
            {"type": "long", "logicalType": "timestamp-micros"},
            "2024-01-01T00:00:00+00",
            datetime(2024, 1, 1, tzinfo=UTC),
        ),
        (
            {"type": "long", "logicalType": "local-timestamp-micros"},
            "2024-01-01T00:00:00",
            datetime(2024, 1, 1),  # noqa: DTZ001 - it is local
        ),
        ({"type": "long", "logicalType": "no-such-type"}, 5, 5),
    ],
)
def test_values_are_read_as_they_were_meant(kind: Json, value: Json, read: Json) -> None:
    got = one_field(kind, value)
    assert str(got) == read if read == "nan" else got == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, None),
        (3, 3),
        (2**40, 2**40),
        (1.5, 1.5),
        ("NaN", "NaN"),
        ("NEW", "NEW"),
        ({"string": "x"}, "x"),
        ({"int": 3}, 3),
        ({"double": "NaN"}, "nan"),
        ({"com.example.Line": {"sku": "a", "quantity": 1}}, {"sku": "a", "quantity": 1}),
        ({"Line": {"sku": "a", "quantity": 1}}, {"sku": "a", "quantity": 1}),
        ({"sku": "a", "quantity": 1}, {"sku": "a", "quantity": 1}),
        ({"other": 1.0}, {"other": 1.0}),
        ({"map": {"sku": 1.0}}, {"sku": 1.0}),
        ([1], [1]),
    ],
)
def test_the_value_of_a_union_may_be_plain_or_tagged(value: Json, read: Json) -> None:
    line = {**_LINE, "namespace": "com.example"}
    branches = ["null", "int", "long", "double", "string", line]
    branches += [{"type": "map", "values": "double"}, {"type": "array", "items": "int"}]
    got = one_field(branches, value)
    assert str(got) == read if read == "nan" else got == read


def test_a_value_that_fits_no_branch_of_a_union_is_refused() -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "f", "type": ["int", "string"]}]}
    expected = "$.f is a boolean, which fits no branch of a union of int, string"
    assert refusal(schema, b'{"f": true}') == expected


def test_a_type_may_refer_to_itself() -> None:
    field = {"name": "next", "type": ["null", "Node"], "default": None}
    schema = {"type": "record", "name": "Node", "fields": [{"name": "n", "type": "int"}, field]}
    value = {"n": 1, "next": {"Node": {"n": 2, "next": {"n": 3}}}}
    assert decode(schema, encode(schema, spell(value))) == {
        "n": 1,
        "next": {"n": 2, "next": {"n": 3, "next": None}},
    }


_DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}
_DAY = {"type": "int", "logicalType": "date"}
_INNER = {"type": "record", "name": "I", "fields": [{"name": "a", "type": "int", "default": 3}]}
_DEFAULTS = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "price", "type": _DECIMAL, "default": "\u0001\u0000"},
        {"name": "day", "type": _DAY, "default": 1},
        {"name": "inner", "type": _INNER, "default": {}},
    ],
}


def test_defaults_are_the_json_of_the_underlying_type() -> None:
    assert decode(_DEFAULTS, encode(_DEFAULTS, b"{}")) == {
        "price": Decimal("2.56"),
        "day": date(1970, 1, 2),
        "inner": {"a": 3},
    }


def test_common_payloads_are_written_without_the_plain_twin() -> None:
    native: Json = pytest.importorskip("cdc_sidecar.events._payload", reason="no C compiler")
    encoder = native.PayloadEncoder(compile_payload(json.dumps(ORDER)))
    payloads = [
        FITS | {"at": "2026-11-28T10:00:00.123456Z", "note": 'line\n"two" é'},
        FITS | {"at": 1, "total": 12.5, "prices": {"a": 1.25, "b": 3}},
    ]
    assert all(encoder.try_encode(spell(payload)) is not None for payload in payloads)


def test_a_moment_at_the_end_of_a_long_is_refused_behind_it() -> None:
    kind = {"type": "long", "logicalType": "timestamp-nanos"}
    schema = {"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]}
    last = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=(2**63 - 1) // 1000)
    encode(schema, spell({"f": last.isoformat()}))
    expected = "$.f is out of the range of timestamp-nanos"
    assert refusal(schema, spell({"f": "2263-01-01T00:00:00Z"})) == expected
