"""Tables of every type, frames with their rows, and what fastavro reads from the Avro bytes."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from typing import Any

import fastavro
from hypothesis import strategies as st

from cdc_sidecar.events.plan import Plan
from cdc_sidecar.events.schema import envelope_schema, key_schema
from cdc_sidecar.events.transcode import transcode
from cdc_sidecar.postgres.types import Builtin, TypeFacts, TypeKind
from tests.unit import shop, wire
from tests.unit.shop import BIGINT, INTEGER, TEXT, layout

START = 31  # of the first TupleData in the frame of a row message


def base_type(builtin: Builtin, modifier: int = -1) -> TypeFacts:
    """Describe a type that Postgres itself has."""
    return TypeFacts(builtin.value, modifier, builtin.name, builtin.name, TypeKind.BASE)


def array_type(element: TypeFacts) -> TypeFacts:
    """Describe the array of a type."""
    return TypeFacts(90_000, -1, f"{element.name}[]", "_x", TypeKind.ARRAY, base=element)


@dataclass(frozen=True)
class Kind:
    """A type, values of it, and how Postgres prints one."""

    facts: TypeFacts
    values: st.SearchStrategy[Any]
    spell: Callable[[Any], str] = str


def _spell_list(items: list[int | None]) -> str:
    return "{" + ",".join("NULL" if item is None else str(item) for item in items) + "}"


_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_CENTS = st.integers(-(10**10) + 1, 10**10 - 1).map(lambda cents: Decimal(cents).scaleb(-2))
_DATETIMES = st.datetimes()

KINDS = [
    Kind(base_type(Builtin.BOOL), st.booleans(), lambda value: "t" if value else "f"),
    Kind(base_type(Builtin.INT2), st.integers(-(2**15), 2**15 - 1)),
    Kind(base_type(Builtin.INT4), st.integers(-(2**31), 2**31 - 1)),
    Kind(base_type(Builtin.INT8), st.integers(-(2**63), 2**63 - 1)),
    Kind(base_type(Builtin.OID), st.integers(0, 2**32 - 1)),
    Kind(base_type(Builtin.FLOAT4), st.floats(width=32, allow_nan=False), repr),
    Kind(base_type(Builtin.FLOAT8), st.floats(allow_nan=False), repr),
    Kind(shop.TOTAL, _CENTS, lambda value: f"{value:f}"),
    Kind(base_type(Builtin.NUMERIC), st.decimals(allow_nan=False).map(str)),
    Kind(TEXT, _TEXTS),
    Kind(base_type(Builtin.BYTEA), st.binary(max_size=20), lambda value: "\\x" + value.hex()),
    Kind(base_type(Builtin.JSONB), st.just('{"a": [1, null]}')),
    Kind(base_type(Builtin.UUID), st.uuids()),
    Kind(base_type(Builtin.DATE), st.dates()),
    Kind(base_type(Builtin.TIME), st.times()),
    Kind(base_type(Builtin.TIMESTAMP), _DATETIMES, lambda value: value.isoformat(" ")),
    Kind(
        base_type(Builtin.TIMESTAMPTZ),
        _DATETIMES.map(lambda value: value.replace(tzinfo=UTC)),
        lambda value: value.replace(tzinfo=None).isoformat(" ") + "+00",
    ),
    Kind(base_type(Builtin.INTERVAL), st.just("P1Y2M3DT4H5M6.7S")),
    Kind(array_type(INTEGER), st.lists(st.none() | st.integers(-9, 9), max_size=5), _spell_list),
    Kind(TypeFacts(16500, -1, "public.mood", "mood", TypeKind.ENUM), st.sampled_from(["ok", "no"])),
]
ALL = layout(
    "everything",
    {"id": BIGINT} | {f"c{place}": kind.facts for place, kind in enumerate(KINDS)},
    key=("id",),
)
"""A table with a column of each kind."""

ODD = layout(
    "odd",
    {
        "id": BIGINT,
        "amount": shop.TOTAL,
        "at": shop.TIMESTAMP,
        "list": array_type(INTEGER),
        "flag": shop.BOOLEAN,
        "f": base_type(Builtin.FLOAT4),
    },
    key=("id",),
)
"""A table with columns whose types refuse some texts."""


def insert_frame(*cells: wire.Cell) -> bytes:
    """Write an Insert in its frame."""
    return wire.frame(1, wire.insert(1, cells))


def read_row(plan: Plan, row: bytes) -> dict[str, Any]:
    """Return what fastavro makes of a row, driven by its schema."""
    schema: Any = envelope_schema("a.b.c", plan.fields)
    value = {**schema["fields"][0]["type"][1], "namespace": "a.b.c"}
    stream = io.BytesIO(row)
    read: Any = fastavro.schemaless_reader(stream, fastavro.parse_schema(value), None)
    assert not stream.read()
    return dict(read)


def read_key(plan: Plan, key: bytes | None) -> dict[str, Any]:
    """Return what fastavro makes of a key, driven by its schema."""
    assert key is not None
    parsed = fastavro.parse_schema(key_schema("a.b.c", plan.key_fields))
    read: Any = fastavro.schemaless_reader(io.BytesIO(key), parsed, None)
    return dict(read)


def transcode_update(plan: Plan, old: list[wire.Cell], new: list[wire.Cell]) -> tuple[Any, ...]:
    """Transcode the new row of an Update whose whole old row was sent."""
    frame = wire.frame(1, wire.update(1, new, old=old))
    _, _, _, end = transcode(plan, frame, START)
    return transcode(plan, frame, end + 1, START)
