"""A payload becomes the type that is asked for, and damaged bytes lead to no other error."""

import enum
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Literal, TypedDict
from uuid import UUID

import pydantic
import pytest
from cdc_sidecar_client.consumer.convert import convert
from cdc_sidecar_client.consumer.decode import Decoder
from cdc_sidecar_client.consumer.errors import (
    RegistryUnavailable,
    SchemaMissing,
    Undecodable,
)
from cdc_sidecar_client.consumer.record import Record
from cdc_sidecar_client.consumer.registry import SchemaRegistry
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.client.billing_topic import CANCELLED, PLACED, Registry, placed, running_registry


class Colour(enum.Enum):
    """A closed set."""

    RED = "red"


class Row(TypedDict):
    """A dict with known keys."""

    id: int


class Model(pydantic.BaseModel):
    """A model of pydantic."""

    id: int


@dataclass
class Strict:
    """A dataclass that refuses values itself."""

    id: int

    def __post_init__(self) -> None:
        raise KeyError(str(self.id))


@dataclass
class Nested:
    """A dataclass in another one."""

    at: date


@dataclass
class Whole:
    """A dataclass with defaults."""

    nested: Nested
    many: list[Nested] = field(default_factory=list)
    note: str | None = None
    hidden: int = field(default=7, init=False)


_ID = "6ecd8c99-4036-403d-bf84-cf8400f67836"
_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Any, b"x", b"x"),
        (UUID, _ID, UUID(_ID)),
        (UUID, UUID(_ID), UUID(_ID)),
        (Decimal, "1.50", Decimal("1.50")),
        (Decimal, 3, Decimal(3)),
        (float, Decimal("0.5"), 0.5),
        (float, 2, 2.0),
        (datetime, "2026-01-02T03:04:05Z", _AT),
        (datetime, "2026-01-02T03:04:05+00:00", _AT),
        (datetime, _AT, _AT),
        (date, "2026-01-02", date(2026, 1, 2)),
        (time, "03:04:05", time(3, 4, 5)),
        (Colour, "red", Colour.RED),
        (Literal["a", "b"], "b", "b"),
        (int | None, None, None),
        (int | str, "x", "x"),
        (list[int], [1, 2], [1, 2]),
        (Sequence[int], [1], [1]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (dict[str, Decimal], {"a": "1"}, {"a": Decimal(1)}),
        (Mapping[str, int], {"a": 1}, {"a": 1}),
        (dict, {"a": 1}, {"a": 1}),
        (Row, {"id": 1}, {"id": 1}),
        (Model, {"id": 1, "more": 2}, Model(id=1)),
        (None, None, None),
        (
            Whole,
            {"nested": {"at": "2026-01-02"}, "many": [{"at": "2026-01-03"}], "more": 1},
            Whole(Nested(date(2026, 1, 2)), [Nested(date(2026, 1, 3))]),
        ),
    ],
)
def test_a_value_becomes_the_type_that_is_asked_for(
    kind: Any,  # noqa: ANN401 - a type
    value: object,
    expected: object,
) -> None:
    converted = convert(kind, value)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (int, True, "payload: expected int, not bool"),
        (int, "1", "payload: expected int, not str"),
        (Decimal, "one", "payload: expected Decimal, not str"),
        (UUID, "x", "payload: expected UUID, not str"),
        (Colour, "blue", "payload: expected Colour, not str"),
        (Literal["a"], "b", "payload: expected Literal"),
        (int | None, "x", "payload: expected int, not str"),
        (list[int], {}, r"payload: expected list, not dict"),
        (list[int], [1, None], r"payload\[1\]: expected int, not NoneType"),
        (Whole, [], "payload: expected Whole, not list"),
        (Whole, {}, "payload.nested is missing"),
        (Whole, {"nested": {"at": 5}}, "payload.nested.at: expected date, not int"),
        (Row, [], "payload: expected Row, not list"),
        (
            Model,
            {"id": "secret"},
            r"^payload\.id: Input should be a valid integer[^:]*$",
        ),
        (Strict, {"id": 5}, "payload: KeyError: '5'"),
        (None, 1, "expected None"),
    ],
)
def test_a_value_that_does_not_fit_names_its_place_and_not_its_content(
    kind: Any,  # noqa: ANN401 - a type
    value: object,
    message: str,
) -> None:
    with pytest.raises(Undecodable, match=message):
        convert(kind, value)


@pytest.fixture(scope="module")
def own_registry() -> Iterator[Registry]:
    """Yield a registry for the tests of this module."""
    with running_registry() as running:
        yield running


def _record(value: bytes | None, key: bytes | None = None) -> Record:
    return Record("t", 0, 0, 0, key, value, ())


@given(data=st.data())
@settings(deadline=None, max_examples=300)
def test_damaged_bytes_are_undecodable_and_nothing_else(
    own_registry: Registry, data: st.DataObject
) -> None:
    decoder = Decoder(SchemaRegistry(own_registry.url))
    good = placed(1)
    at = data.draw(st.integers(5, len(good) - 1))
    damaged = good[:at] + data.draw(st.binary(max_size=30)) + good[at + 3 :]
    with suppress(Undecodable):
        decoder.decode(_record(damaged, damaged))


@given(value=st.binary(max_size=40))
@settings(deadline=None)
def test_any_bytes_are_an_event_or_undecodable(own_registry: Registry, value: bytes) -> None:
    decoder = Decoder(SchemaRegistry(own_registry.url), raw_topics=["raw"])
    with suppress(Undecodable, SchemaMissing):
        decoder.decode(_record(value, value))
    raw = Record("raw", 0, 0, -1, None, value, ())
    assert decoder.decode(raw).key is None


@pytest.fixture
def other() -> Iterator[Registry]:
    """Yield a second registry, which has one schema."""
    with running_registry() as running:
        running.schemas = {500: CANCELLED}
        yield running


def test_each_registry_is_asked_once_until_one_has_the_schema(
    own_registry: Registry, other: Registry
) -> None:
    both = SchemaRegistry(f"{own_registry.url}, {other.url}/")
    assert both.schema(3)["name"] == "com.example.orders.OrderPlaced"
    assert both.schema(500)["name"] == "com.example.orders.OrderCancelled"
    assert both.schema(500) is both.schema(500)
    assert other.requests == [500]


def test_a_schema_is_missing_only_if_every_registry_says_so(
    own_registry: Registry, other: Registry
) -> None:
    both = SchemaRegistry(f"{other.url},{own_registry.url}")
    with pytest.raises(SchemaMissing, match="no schema 501 in http"):
        both.schema(501)
    other.status = 500
    with pytest.raises(RegistryUnavailable, match="HTTP Error 500"):
        both.schema(501)
    own_registry.schemas[501] = PLACED
    assert both.schema(501)["name"] == "com.example.orders.OrderPlaced"
    nobody = SchemaRegistry("http://127.0.0.1:1")
    with pytest.raises(RegistryUnavailable, match="refused"):
        nobody.schema(1)


def test_a_schema_that_is_not_avro_is_undecodable(own_registry: Registry) -> None:
    own_registry.schemas[600] = {"type": "nonsense"}
    with pytest.raises(Undecodable, match="schema 600 is not valid"):
        SchemaRegistry(own_registry.url).schema(600)
