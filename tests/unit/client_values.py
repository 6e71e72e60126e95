"""Random Avro schemas, and Python values that fit them, for Hypothesis.

The values are those that fastavro writes too, so that it can say what their bytes are.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

Schema = Any
Value = st.SearchStrategy[Any]
Pair = tuple[Schema, Value]

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_INTS = st.integers(-(2**31), 2**31 - 1)
_LONGS = st.integers(-(2**63), 2**63 - 1)
_NAN = st.just(float("nan"))  # the only one that JSON can name
_DOUBLES = st.floats(allow_nan=False) | _NAN
_OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def _decimals(precision: int, scale: int) -> Value:
    most = 10**precision - 1
    return st.integers(-most, most).map(lambda number: Decimal(number).scaleb(-scale))


def _moments(digits: int, *, local: bool = False) -> Value:
    def cut(moment: datetime) -> datetime:
        unit = 10 ** (6 - digits)
        return moment.replace(microsecond=moment.microsecond // unit * unit)

    least, most = datetime(1900, 1, 2), datetime(2200, 1, 1)  # noqa: DTZ001 - a bound is naive
    zones = st.none() if local else _OFFSETS
    return st.datetimes(least, most, timezones=zones).map(cut)


def _times(digits: int) -> Value:
    unit = 10 ** (6 - digits)
    return st.times().map(lambda each: each.replace(microsecond=each.microsecond // unit * unit))


def _logical(kind: str, name: str, **more: object) -> Schema:
    return {"type": kind, "logicalType": name, **more}


_SCALARS: list[Pair] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", _INTS),
    ("long", _LONGS),
    ("float", st.floats(width=32, allow_nan=False) | _NAN),
    ("double", _DOUBLES),
    ("bytes", st.binary(max_size=8)),
    ("string", _TEXT),
    (_logical("bytes", "decimal", precision=9, scale=2), _decimals(9, 2)),
    (_logical("bytes", "decimal", precision=28, scale=0), _decimals(28, 0)),
    (_logical("string", "uuid"), st.uuids()),
    (_logical("int", "date"), st.dates()),
    (_logical("int", "time-millis"), _times(3)),
    (_logical("long", "time-micros"), _times(6)),
    (_logical("long", "timestamp-millis"), _moments(3)),
    (_logical("long", "timestamp-micros"), _moments(6)),
    (_logical("long", "local-timestamp-micros"), _moments(6, local=True)),
]


@st.composite
def schemas_with_python_values(draw: Callable[..., Any]) -> Pair:
    """Return a record's schema, and the strategy of Python values that fit it."""
    return _record(draw, iter(f"N{number}" for number in range(1000)), 3)


def _any(  # noqa: PLR0911 - a kind each
    draw: Callable[..., Any], names: Iterator[str], depth: int
) -> Pair:
    kinds = ["scalar", "scalar", "scalar", "enum", "fixed"]
    if depth:
        kinds += ["array", "map", "record", "optional", "union"]
    match draw(st.sampled_from(kinds)):
        case "scalar":
            pair: Pair = draw(st.sampled_from(_SCALARS))
            return pair
        case "enum":
            schema = {"type": "enum", "name": next(names), "symbols": ["A", "Bb", "C_c"]}
            return schema, st.sampled_from(schema["symbols"])
        case "fixed":
            size = draw(st.integers(1, 4))
            schema = {"type": "fixed", "name": next(names), "size": size}
            return schema, st.binary(min_size=size, max_size=size)
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
    fields = [_any(draw, names, depth) for _ in range(draw(st.integers(1, 4)))]
    labels = [f"{name}_{number}" for number in range(len(fields))]
    declared = [
        {"name": label, "type": inner} for label, (inner, _) in zip(labels, fields, strict=True)
    ]
    values = {label: values for label, (_, values) in zip(labels, fields, strict=True)}
    return {"type": "record", "name": name, "fields": declared}, st.fixed_dictionaries(values)


def _optional(draw: Callable[..., Any], names: Iterator[str], depth: int) -> Pair:
    inner, values = _any(draw, names, depth)
    if isinstance(inner, list) or inner == "null":
        return inner, values
    return ["null", inner], st.none() | values


def _union(draw: Callable[..., Any], names: Iterator[str], depth: int) -> Pair:
    """Return a union of branches of different Python types, in any order.

    A date is not among them: fastavro fails where it tries whether a text is one.
    """
    moment = (_logical("long", "timestamp-micros"), _moments(6))
    price = (_logical("bytes", "decimal", precision=9, scale=2), _decimals(9, 2))
    branches: list[Pair] = [("null", st.none()), ("boolean", st.booleans()), ("string", _TEXT)]
    branches += [moment, price, ("double", _DOUBLES), _record(draw, names, depth)]
    branches = draw(st.permutations(branches))
    return [schema for schema, _ in branches], st.one_of(*(values for _, values in branches))
