"""Random Avro schemas, and JSON values that fit them, for Hypothesis."""

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

Json = Any
Schema = Any
Value = st.SearchStrategy[Any]

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_INTS = st.integers(-(2**31), 2**31 - 1)
_LONGS = st.integers(-(2**63), 2**63 - 1)
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_OCTETS = st.text(st.characters(max_codepoint=255), max_size=8)


def _decimals(precision: int, scale: int) -> Value:
    """Return texts of a decimal."""
    most = 10**precision - 1
    return st.integers(-most, most).map(lambda n: f"{Decimal((int(n < 0), _digits(n), -scale)):f}")


def _digits(number: int) -> tuple[int, ...]:
    return tuple(map(int, str(abs(number))))


def _iso(moments: Value, suffix: str) -> Value:
    return moments.map(lambda moment: moment.isoformat() + suffix)


def _moments(digits: int) -> Value:
    def cut(moment: datetime) -> datetime:
        unit = 10 ** (6 - digits)
        return moment.replace(microsecond=moment.microsecond // unit * unit)

    return st.datetimes().map(cut)


def _times(digits: int) -> Value:
    def cut(moment: time) -> str:
        unit = 10 ** (6 - digits)
        return moment.replace(microsecond=moment.microsecond // unit * unit).isoformat()

    return st.times().map(cut)


def _logical(kind: str, name: str, **more: object) -> Schema:
    return {"type": kind, "logicalType": name, **more}


def _scalars() -> list[tuple[Schema, Value]]:
    return [
        ("null", st.none()),
        ("boolean", st.booleans()),
        ("int", _INTS),
        ("long", _LONGS),
        ("float", st.floats(width=32, allow_nan=False, allow_infinity=False) | _INTS),
        ("double", _FLOATS | _LONGS),
        ("bytes", _OCTETS),
        ("string", _TEXT),
        (_logical("bytes", "decimal", precision=9, scale=2), _decimals(9, 2)),
        (_logical("bytes", "decimal", precision=30, scale=0), _decimals(30, 0)),
        (_logical("string", "uuid"), st.uuids().map(str)),
        (_logical("int", "date"), st.dates().map(date.isoformat) | _INTS),
        (_logical("int", "time-millis"), _times(3) | st.integers(0, 86_399_999)),
        (_logical("long", "time-micros"), _times(6)),
        (_logical("long", "timestamp-millis"), _iso(_moments(3), "Z") | _LONGS),
        (_logical("long", "timestamp-micros"), _iso(_moments(6), "+00:00")),
        (_logical("long", "timestamp-micros"), _iso(_moments(6), "+05:30")),
        (_logical("long", "local-timestamp-micros"), _iso(_moments(6), "")),
    ]


Pair = tuple[Schema, Value]


@st.composite
def schemas_with_values(draw: Callable[..., Any]) -> tuple[Schema, Value]:
    """Return a record's schema, and the strategy of JSON values that fit it."""
    names: Iterator[str] = iter(f"N{number}" for number in range(1000))
    return _record(draw, names, 3)


def _any(  # noqa: PLR0911 - a kind each
    draw: Callable[..., Any], names: Iterator[str], depth: int
) -> Pair:
    kinds = ["scalar", "scalar", "scalar", "enum", "fixed"]
    if depth:
        kinds += ["array", "map", "record", "optional", "union"]
    match draw(st.sampled_from(kinds)):
        case "scalar":
            pair: Pair = draw(st.sampled_from(_scalars()))
            return pair
        case "enum":
            schema = {"type": "enum", "name": next(names), "symbols": ["A", "Bb", "C_c"]}
            return schema, st.sampled_from(schema["symbols"])
        case "fixed":
            size = draw(st.integers(1, 4))
            text = st.text(st.characters(max_codepoint=255), min_size=size, max_size=size)
            return {"type": "fixed", "name": next(names), "size": size}, text
        case "array":
            inner, values = _any(draw, names, depth - 1)
            return {"type": "array", "items": inner}, st.lists(values, max_size=3)
        case "map":
            inner, values = _any(draw, names, depth - 1)
            return {"type": "map", "values": inner}, st.dictionaries(_TEXT, values, max_size=3)
        case "record":
            return _record(draw, names, depth - 1)
        case "optional":
            return _optional(draw, names, depth - 1)
        case _:
            return _union(draw, names, depth - 1)


def _record(draw: Callable[..., Any], names: Iterator[str], depth: int) -> Pair:
    name = next(names)
    fields = [_any(draw, names, depth) for _ in range(draw(st.integers(0, 4)))]
    labels = [f"f{number}" for number in range(len(fields))]
    schema = {
        "type": "record",
        "name": name,
        "fields": [
            {"name": label, "type": inner} for label, (inner, _) in zip(labels, fields, strict=True)
        ],
    }
    values = {label: values for label, (_, values) in zip(labels, fields, strict=True)}
    return schema, st.fixed_dictionaries(values)


def _is_union_or_null(schema: Schema) -> bool:
    return isinstance(schema, list) or schema == "null"


def _optional(draw: Callable[..., Any], names: Iterator[str], depth: int) -> Pair:
    inner, values = _any(draw, names, depth)
    if _is_union_or_null(inner):
        return inner, values
    return ["null", inner], st.none() | values


def _union(draw: Callable[..., Any], names: Iterator[str], depth: int) -> Pair:
    """Return a union of branches that are told apart by their JSON, tagged or not."""
    record, values = _record(draw, names, depth)
    branches: list[Pair] = [("null", st.none()), ("long", _LONGS), ("string", _TEXT)]
    tagged = values.map(lambda value: {record["name"]: value})
    branches.append((record, tagged))
    branches = draw(st.permutations(branches))
    return [schema for schema, _ in branches], st.one_of(*(values for _, values in branches))


def spell(value: Json) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=False).encode()
