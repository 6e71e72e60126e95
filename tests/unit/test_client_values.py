"""Values and classes of Python become the JSON of their schema, or are refused."""

import json
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import attrs
import pytest
from cdc_sidecar_client.payload.misfit import Misfit
from cdc_sidecar_client.payload.plain import encode_plain
from pydantic import BaseModel, ConfigDict, Field, RootModel

from tests.unit.test_client_json import UTC, one_field, refusal, sent, written

Json = Any


class State(Enum):
    """By their values and their names."""

    OPEN = "NEW"
    OLD = 2


class Level(IntEnum):
    """A number with a name."""

    HIGH = 3


def _logical(kind: str, name: str, **more: object) -> Json:
    return {"type": kind, "logicalType": name, **more}


_ENUM = {"type": "enum", "name": "S", "symbols": ["NEW", "OLD"]}
_PRICE = _logical("bytes", "decimal", precision=9, scale=2)
_MOMENT = _logical("long", "timestamp-micros")
_MILLIS = _logical("long", "timestamp-millis")
_LOCAL = _logical("long", "local-timestamp-micros")
_ODD = timezone(timedelta(hours=1, seconds=1))
_ID = UUID("01234567-89ab-cdef-0123-456789abcdef")
_SIXTEEN = {"type": "fixed", "name": "F", "size": 16, "logicalType": "uuid"}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (_ENUM, State.OPEN, "NEW"),
        (_ENUM, State.OLD, "OLD"),
        ("string", State.OPEN, "NEW"),
        ("int", Level.HIGH, 3),
        ("string", _ID, str(_ID)),
        (_SIXTEEN, _ID, str(_ID)),
        ("bytes", bytearray(b"\x00\xff"), "\x00\xff"),
        ("bytes", memoryview(b"a"), "a"),
        ("double", Decimal("0.1"), 0.1),
        ("double", Decimal("NaN"), "NaN"),
        ("float", float("-inf"), "-Infinity"),
        ("double", "Infinity", "Infinity"),
        ("long", 2**63 - 1, 2**63 - 1),
        (_PRICE, Decimal("1E+3"), "1E+3"),
        (_PRICE, Decimal("1.500"), "1.500"),
        (_PRICE, Decimal("-0"), "-0"),
        (_PRICE, 12, "12"),
        (_MOMENT, datetime(2024, 1, 1, 12, tzinfo=_ODD), "2024-01-01T10:59:59Z"),
        (_MOMENT, 5, 5),
        (_MILLIS, datetime(2024, 1, 1, 0, 0, 0, 5000, UTC), "2024-01-01T00:00:00.005000+00:00"),
        (_logical("int", "date"), date(1, 1, 1), "0001-01-01"),
        (_logical("int", "date"), -1, -1),
        (_logical("int", "time-millis"), time(1, 2, 3), "01:02:03"),
        ({"type": "array", "items": "int"}, (1, 2), [1, 2]),
        ("long", 3, 3),
        (_logical("long", "no-such-type"), 3, 3),
    ],
)
def test_values_of_python_become_the_json_of_their_type(
    kind: Json, value: object, expected: Json
) -> None:
    assert one_field(kind, value) == expected


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (_PRICE, 1.5, "$.f is a float, which is not exact"),
        (_PRICE, Decimal("NaN"), "$.f does not spell a number of decimal(9, 2)"),
        (_PRICE, Decimal("1.005"), "$.f has more fraction digits than decimal(9, 2)"),
        (_PRICE, Decimal("1E+7"), "$.f has more digits than decimal(9, 2)"),
        (_PRICE, 10**4000, "$.f has more digits than decimal(9, 2)"),
        (_PRICE, True, "$.f is a boolean, but the schema has decimal(9, 2)"),
        ("int", 1.0, "$.f has a fraction or an exponent, but the schema has int"),
        ("double", 10**400, "$.f is out of the range of double"),
        ("double", Decimal("1e400"), "$.f is out of the range of double"),
        ("float", 1e39, "$.f is out of the range of float"),
        ("double", True, "$.f is a boolean, but the schema has double"),
        ("string", b"a", "$.f is of the Python type bytes, but the schema has string"),
        ("string", "\ud800", "$.f has half of a surrogate pair, which no UTF-8 can hold"),
        ("bytes", "\u0100", "$.f has a character above U+00FF, which is no byte"),
        (_SIXTEEN | {"logicalType": "none"}, b"a", "$.f has 1 bytes, but fixed F has 16"),
        (_MOMENT, datetime(2024, 1, 1), "$.f has no offset from UTC"),  # noqa: DTZ001 - naive
        (_MOMENT, date(2024, 1, 1), "$.f is of the Python type date, but the schema has timest"),
        (_logical("int", "date"), datetime(2024, 1, 1, tzinfo=UTC), "$.f is of the Python type da"),
        (_MILLIS, datetime(2024, 1, 1, 0, 0, 0, 5, UTC), "$.f has more fraction digits than"),
        (
            _logical("long", "local-timestamp-micros"),
            datetime(2024, 1, 1, tzinfo=UTC),
            "$.f has an",
        ),
        (_logical("long", "timestamp-nanos"), datetime(2300, 1, 1, tzinfo=UTC), "$.f is out of"),
        (_MOMENT, datetime(1, 1, 1, tzinfo=_ODD), "$.f is out of the range of timestamp-micros"),
        (_logical("int", "time-millis"), time(1, tzinfo=UTC), "$.f is not a time"),
        (_logical("int", "time-millis"), 86_400_000, "$.f is out of the range of time-millis"),
        ({"type": "map", "values": "int"}, {1: 1}, "$.f[member 0] is a number, but the schema h"),
        (["null", "int", "string"], b"", "$.f is of the Python type bytes, which fits no branch"),
    ],
)
def test_values_of_python_that_would_change_are_refused(
    kind: Json, value: object, expected: str
) -> None:
    assert refusal(kind, value).startswith(expected)


def test_an_event_that_contains_itself_is_refused() -> None:
    inner = {"name": "next", "type": ["null", "N"], "default": None}
    schema = {"type": "record", "name": "N", "fields": [inner]}
    endless: dict[str, Any] = {}
    endless["next"] = endless
    with pytest.raises(Misfit, match="nested more than 64 levels"):
        written(schema, endless)
    deep: dict[str, Any] = {}
    for _ in range(63):
        deep = {"next": deep}
    sent(schema, deep)
    with pytest.raises(Misfit, match="nested more than 64 levels"):
        written(schema, {"next": deep})


# --- classes


@dataclass
class Line:
    """A dataclass."""

    sku: str
    quantity: int = 1
    names: dict[str, str] = field(default_factory=dict)


@attrs.define
class AttrsLine:
    """A class of attrs."""

    sku: str
    quantity: int
    names: dict[str, str] = attrs.field(factory=dict)


class ModelLine(BaseModel):
    """A pydantic model with an alias, a field that is not sent, and others that may be there."""

    model_config = ConfigDict(extra="allow")
    code: str = Field(alias="sku")
    secret: str = Field(default="x", exclude=True)
    quantity: int


class Skus(RootModel[list[str]]):
    """A pydantic model without fields."""


_LINE = {
    "type": "record",
    "name": "Line",
    "fields": [
        {"name": "sku", "type": "string"},
        {"name": "quantity", "type": "int"},
        {"name": "names", "type": {"type": "map", "values": "string"}, "default": {}},
    ],
}


@pytest.mark.parametrize(
    "line",
    [
        Line("a", 2, {"de": "A"}),
        AttrsLine("a", 2, {"de": "A"}),
        ModelLine.model_validate({"sku": "a", "quantity": 2, "names": {"de": "A"}}),
        {"names": {"de": "A"}, "quantity": 2, "sku": "a"},
    ],
)
def test_events_are_objects_of_any_kind_of_class(line: object) -> None:
    assert json.loads(written(_LINE, line)) == {"sku": "a", "quantity": 2, "names": {"de": "A"}}
    assert one_field(_LINE, line) == json.loads(written(_LINE, line))


def test_a_root_model_is_what_it_holds() -> None:
    assert one_field({"type": "array", "items": "string"}, Skus(["a"])) == ["a"]


def test_the_class_of_an_object_chooses_the_record_of_a_union() -> None:
    other = {**_LINE, "name": "Other"}
    union = ["null", {"type": "map", "values": "string"}, other, _LINE]
    line = {"sku": "a", "quantity": 1, "names": {}}
    assert one_field(union, Line("a")) == {"Line": line}
    assert one_field(["null", other, _LINE], line) == {"Other": line}


@pytest.mark.parametrize(
    ("branches", "value", "expected"),
    [
        (["null", "string"], None, None),
        (["null", "string"], "x", "x"),
        (["null", "string"], {"string": "x"}, "x"),
        (["double", "long"], 3, {"long": 3}),
        (["double", "null"], 3, 3),
        (["bytes", "string"], "x", {"string": "x"}),
        (["string", "bytes"], b"x", {"bytes": "x"}),
        (["string", _PRICE], Decimal("1.5"), {"bytes": "1.5"}),
        (["string", _MOMENT], "2024-01-01T00:00:00Z", {"string": "2024-01-01T00:00:00Z"}),
        ([_ENUM, "string"], State.OPEN, {"S": "NEW"}),
        (["null", {"type": "map", "values": "int"}], {"a": 1}, {"a": 1}),
        (["null", {"type": "map", "values": "int"}], {"map": {"map": 1}}, {"map": {"map": 1}}),
        (["null", "double"], float("nan"), "NaN"),
    ],
)
def test_a_value_of_a_union_is_tagged_where_its_branch_is_in_doubt(
    branches: Json, value: object, expected: Json
) -> None:
    assert one_field(branches, value) == expected


# --- without a schema


def test_without_a_schema_any_json_goes() -> None:
    value = {"line": Line("a"), "price": Decimal("1.50"), "id": _ID, "state": State.OPEN}
    moments = {"day": date(2024, 1, 1), "at": datetime(2024, 1, 1, tzinfo=UTC), "none": None}
    assert encode_plain(value | moments | {"list": (1, 2.5, True)}) == {
        "line": {"sku": "a", "quantity": 1, "names": {}},
        "price": "1.50",
        "id": str(_ID),
        "state": "NEW",
        "day": "2024-01-01",
        "at": "2024-01-01T00:00:00+00:00",
        "none": None,
        "list": [1, 2.5, True],
    }


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [b"x"]}, "$.a[0]"),
        ({"a": float("nan")}, "$.a"),
        ({"a": Decimal("Infinity")}, "$.a"),
        ({"a": {1: 2}}, "$.a"),
        ([object()], "$[0]"),
    ],
)
def test_without_a_schema_what_json_has_not_is_refused(value: object, path: str) -> None:
    with pytest.raises(Misfit) as refused:
        encode_plain(value)
    assert refused.value.path == path
