"""A pgoutput tuple becomes the Avro row that fastavro reads, or is refused without its values."""

import io
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_sidecar.errors import ProtocolViolation, Unrepresentable
from cdc_sidecar.events.plan import Plan
from cdc_sidecar.events.schema import envelope_schema, key_schema
from cdc_sidecar.events.transcode import columns_of, transcode
from cdc_sidecar.postgres.pgoutput import UNCHANGED, Insert, Unchanged, decode
from cdc_sidecar.postgres.types import Builtin, TypeFacts, TypeKind
from tests.unit import shop, wire
from tests.unit.shop import BIGINT, INTEGER, TEXT, compiled, layout

START = 31  # of the first TupleData in the frame of a row message


def _base(builtin: Builtin, modifier: int = -1) -> TypeFacts:
    return TypeFacts(builtin.value, modifier, builtin.name, builtin.name, TypeKind.BASE)


def _array(element: TypeFacts) -> TypeFacts:
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
    Kind(_base(Builtin.BOOL), st.booleans(), lambda value: "t" if value else "f"),
    Kind(_base(Builtin.INT2), st.integers(-(2**15), 2**15 - 1)),
    Kind(_base(Builtin.INT4), st.integers(-(2**31), 2**31 - 1)),
    Kind(_base(Builtin.INT8), st.integers(-(2**63), 2**63 - 1)),
    Kind(_base(Builtin.OID), st.integers(0, 2**32 - 1)),
    Kind(_base(Builtin.FLOAT4), st.floats(width=32, allow_nan=False), repr),
    Kind(_base(Builtin.FLOAT8), st.floats(allow_nan=False), repr),
    Kind(shop.TOTAL, _CENTS, lambda value: f"{value:f}"),
    Kind(_base(Builtin.NUMERIC), st.decimals(allow_nan=False).map(str)),
    Kind(TEXT, _TEXTS),
    Kind(_base(Builtin.BYTEA), st.binary(max_size=20), lambda value: "\\x" + value.hex()),
    Kind(_base(Builtin.JSONB), st.just('{"a": [1, null]}')),
    Kind(_base(Builtin.UUID), st.uuids()),
    Kind(_base(Builtin.DATE), st.dates()),
    Kind(_base(Builtin.TIME), st.times()),
    Kind(_base(Builtin.TIMESTAMP), _DATETIMES, lambda value: value.isoformat(" ")),
    Kind(
        _base(Builtin.TIMESTAMPTZ),
        _DATETIMES.map(lambda value: value.replace(tzinfo=UTC)),
        lambda value: value.replace(tzinfo=None).isoformat(" ") + "+00",
    ),
    Kind(_base(Builtin.INTERVAL), st.just("P1Y2M3DT4H5M6.7S")),
    Kind(_array(INTEGER), st.lists(st.none() | st.integers(-9, 9), max_size=5), _spell_list),
    Kind(TypeFacts(16500, -1, "public.mood", "mood", TypeKind.ENUM), st.sampled_from(["ok", "no"])),
]
ALL = layout(
    "everything",
    {"id": BIGINT} | {f"c{place}": kind.facts for place, kind in enumerate(KINDS)},
    key=("id",),
)
_PLAN = compiled(ALL)


def _frame(*cells: wire.Cell) -> bytes:
    return wire.frame(1, wire.insert(1, cells))


def _read(plan: Plan, row: bytes) -> dict[str, Any]:
    """Return what fastavro makes of a row, driven by its schema."""
    schema: Any = envelope_schema("a.b.c", plan.fields)
    value = {**schema["fields"][0]["type"][1], "namespace": "a.b.c"}
    stream = io.BytesIO(row)
    read: Any = fastavro.schemaless_reader(stream, fastavro.parse_schema(value), None)
    assert not stream.read()
    return dict(read)


def _read_key(plan: Plan, key: bytes | None) -> dict[str, Any]:
    assert key is not None
    parsed = fastavro.parse_schema(key_schema("a.b.c", plan.key_fields))
    read: Any = fastavro.schemaless_reader(io.BytesIO(key), parsed, None)
    return dict(read)


@given(st.data())
def test_a_row_of_every_type_is_what_fastavro_reads(data: st.DataObject) -> None:
    values = [data.draw(st.none() | kind.values) for kind in KINDS]
    cells = [
        None if value is None else kind.spell(value)
        for kind, value in zip(KINDS, values, strict=True)
    ]
    frame = _frame("7", *cells)
    row, key, unchanged, end = transcode(_PLAN, frame, START)
    read = _read(_PLAN, row)
    assert read.pop("id") == 7
    assert list(read.values()) == values
    assert _read_key(_PLAN, key) == {"id": 7}
    assert unchanged == ()
    assert end == len(frame)


def test_floats_that_are_no_numbers_are_kept() -> None:
    plan = compiled(layout("t", {"f": _base(Builtin.FLOAT8)}), unkeyed=True)
    for text in ("Infinity", "-Infinity"):
        assert _read(plan, transcode(plan, _frame(text), START)[0]) == {"f": float(text)}
    row = _read(plan, transcode(plan, _frame("NaN"), START)[0])
    assert math.isnan(row["f"])


# --- keys, and columns that are not sent


_LINES = layout("lines", {"note": TEXT, "line": INTEGER, "order": BIGINT}, key=("order", "line"))


def test_a_composite_key_is_written_in_key_order() -> None:
    plan = compiled(_LINES)
    row, key, _, _ = transcode(plan, _frame("n", "2", "1"), START)
    assert _read(plan, row) == {"note": "n", "line": 2, "order": 1}
    assert list(_read_key(plan, key).items()) == [("order", 1), ("line", 2)]


def test_a_row_without_a_key_has_none() -> None:
    plan = compiled(layout("log", {"what": TEXT}), unkeyed=True)
    assert transcode(plan, _frame("x"), START)[1] is None


def test_columns_that_are_not_sent_are_skipped_with_any_content() -> None:
    plan = compiled(_LINES, columns=["order", "line"])
    for note in ("secret", None, UNCHANGED):
        row, _, unchanged, _ = transcode(plan, _frame(note, "2", "1"), START)
        assert _read(plan, row) == {"line": 2, "order": 1}
        assert unchanged == ()


def test_uuid_keys_are_what_fastavro_reads() -> None:
    plan = compiled(layout("t", {"id": shop.UUID}, key=("id",)))
    text = "11111111-2222-3333-4444-555555555555"
    _, key, _, _ = transcode(plan, _frame(text), START)
    assert _read_key(plan, key) == {"id": UUID(text)}


# --- unchanged TOAST


_BIG = layout("docs", {"id": BIGINT, "body": TEXT, "n": INTEGER}, key=("id",))


def _updated(plan: Plan, old: list[wire.Cell], new: list[wire.Cell]) -> tuple[Any, ...]:
    frame = wire.frame(1, wire.update(1, new, old=old))
    _, _, _, end = transcode(plan, frame, START)
    return transcode(plan, frame, end + 1, START)


def test_an_untouched_toasted_column_is_null_and_reported() -> None:
    plan = compiled(_BIG)
    row, _, unchanged, _ = transcode(plan, _frame("1", UNCHANGED, "5"), START)
    assert _read(plan, row) == {"id": 1, "body": None, "n": 5}
    assert unchanged == (1,)


def test_an_untouched_toasted_column_is_filled_from_the_old_row() -> None:
    plan = compiled(_BIG)
    row, _, unchanged, _ = _updated(plan, ["1", "long", "4"], ["1", UNCHANGED, "5"])
    assert _read(plan, row) == {"id": 1, "body": "long", "n": 5}
    assert unchanged == ()


@pytest.mark.parametrize("old", [None, UNCHANGED])
def test_a_column_that_the_old_row_lacks_too_stays_unchanged(old: Unchanged | None) -> None:
    plan = compiled(_BIG)
    row, _, unchanged, _ = _updated(plan, ["1", old, None], ["1", UNCHANGED, "5"])
    assert _read(plan, row) == {"id": 1, "body": None, "n": 5}
    assert unchanged == (1,)


def test_a_toasted_key_is_taken_from_the_old_key() -> None:
    plan = compiled(layout("t", {"n": INTEGER, "name": TEXT}, key=("name",)))
    row, key, unchanged, _ = _updated(plan, [None, "long"], ["5", UNCHANGED])
    assert _read(plan, row) == {"n": 5, "name": "long"}
    assert _read_key(plan, key) == {"name": "long"}
    assert unchanged == ()


def test_unchanged_columns_are_counted_among_those_that_are_sent() -> None:
    plan = compiled(_BIG, columns=["id", "n", "body"], column={"body": {"rename": "text"}})
    _, _, unchanged, _ = transcode(plan, _frame("1", UNCHANGED, UNCHANGED), START)
    assert [plan.sent[place].field.name for place in unchanged] == ["text", "n"]
    sparse = compiled(_BIG, columns=["id", "n"])
    assert transcode(sparse, _frame("1", UNCHANGED, UNCHANGED), START)[2] == (1,)


# --- refusals


ODD = layout(
    "odd",
    {
        "id": BIGINT,
        "amount": shop.TOTAL,
        "at": shop.TIMESTAMP,
        "list": _array(INTEGER),
        "flag": shop.BOOLEAN,
        "f": _base(Builtin.FLOAT4),
    },
    key=("id",),
)


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("id", None, "NULL in a key"),
        ("id", UNCHANGED, "NULL in a key"),
        ("amount", "NaN", "NaN or an infinity, which no Avro decimal can hold"),
        ("amount", "4711.1234", "a number with more than 2 fraction digits"),
        ("at", "294276-12-31 23:59:58", "a timestamp beyond 64 bits of microseconds"),
        ("list", "{{4711}}", "an array of more than one dimension"),
        ("list", "[0:0]={4711}", "an array whose bounds do not begin at 1"),
        ("flag", "4711", "a text that is not a value of this type"),
        ("f", "4711e99", "a text that is not a value of this type"),
        ("id", "x4711", "a text that is not a value of this type"),
        ("at", b"\xff4711", "a timestamp in a form other than ISO"),
    ],
)
def test_a_refused_value_names_its_column_and_never_the_value(
    column: str, cell: wire.Cell, reason: str
) -> None:
    cells: dict[str, wire.Cell] = dict.fromkeys(("id", "amount", "at", "list", "flag", "f"))
    cells |= {"id": "1", column: cell}
    with pytest.raises(Unrepresentable) as refused:
        transcode(compiled(ODD), _frame(*cells.values()), START)
    assert reason in refused.value.fact
    assert f"in column {column} (" in refused.value.fact
    told = str(refused.value)
    assert "4711" not in told
    assert "294276-12" not in told
    assert refused.value.__suppress_context__


def test_a_value_refused_in_a_later_column_is_not_blamed_on_one_that_is_not_sent() -> None:
    plan = compiled(ODD, columns=["id", "amount"])
    with pytest.raises(Unrepresentable, match="in column amount"):
        transcode(plan, _frame("1", "NaN", "x", "x", "x", "x"), START)


def test_a_refused_value_of_the_old_row_names_its_column() -> None:
    plan = compiled(ODD)
    others: list[wire.Cell] = [None] * 4
    with pytest.raises(Unrepresentable, match="in column amount"):
        _updated(plan, ["1", "NaN", *others], ["1", UNCHANGED, *others])


# --- malformed tuples


_GOOD = _frame("1", "12.50", "2024-02-29 00:00:00", "{1,NULL}", "t", "1.5")


@pytest.mark.parametrize("cells", [[], ["1"], ["1", None, None, None, None, None, None]])
def test_a_tuple_of_another_width_is_refused(cells: list[str | None]) -> None:
    with pytest.raises(ProtocolViolation, match="does not fit its relation"):
        transcode(compiled(ODD), _frame(*cells), START)


def test_a_tuple_is_refused_wherever_it_is_cut() -> None:
    plan = compiled(ODD)
    for end in range(START, len(_GOOD)):
        with pytest.raises(ProtocolViolation, match="does not fit its relation"):
            transcode(plan, _GOOD[:end], START)


@pytest.mark.parametrize("length", [2**32 - 1, 2**31, 1000])
def test_a_length_beyond_the_frame_is_refused(length: int) -> None:
    plan = compiled(layout("t", {"a": TEXT}), unkeyed=True)
    lying = wire.frame(1, b"I" + bytes(4) + b"N" + struct.pack(">HcI", 1, b"t", length) + b"abc")
    with pytest.raises(ProtocolViolation, match="does not fit its relation"):
        transcode(plan, lying, START)
    with pytest.raises(ProtocolViolation, match="does not fit its relation"):
        columns_of(lying, START)


@pytest.mark.parametrize("kind", [b"b", b"T", b"\0"])
def test_a_cell_of_an_unknown_kind_is_refused_never_null(kind: bytes) -> None:
    plan = compiled(layout("t", {"a": TEXT}), unkeyed=True)
    binary = wire.frame(1, b"I" + bytes(4) + b"N" + struct.pack(">HcI", 1, kind, 1) + b"x")
    with pytest.raises(ProtocolViolation, match="does not fit its relation"):
        transcode(plan, binary, START)
    with pytest.raises(ProtocolViolation, match="does not fit its relation"):
        columns_of(binary, START)


@given(st.data())
def test_a_damaged_tuple_is_written_or_refused_and_nothing_else(data: st.DataObject) -> None:
    damaged = bytearray(_GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(START, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    frame = bytes(damaged[: data.draw(st.integers(START, len(damaged)))])
    try:
        transcode(compiled(ODD), frame, START, START)
    except (ProtocolViolation, Unrepresentable):
        return


@given(st.binary(max_size=60))
@example(b"")
def test_any_bytes_as_a_tuple_are_written_or_refused_and_nothing_else(content: bytes) -> None:
    frame = bytes(START) + b"\x00\x06" + content
    try:
        transcode(compiled(ODD), frame, START, START)
        columns_of(frame, START)
    except (ProtocolViolation, Unrepresentable):
        return


@given(st.lists(st.none() | st.just(UNCHANGED) | st.binary(max_size=300), max_size=20))
def test_the_columns_of_a_tuple_are_what_the_slow_decoder_finds(cells: list[wire.Cell]) -> None:
    frame = _frame(*cells)
    columns, end = columns_of(frame, START)
    decoded = decode(frame[25:])
    assert isinstance(decoded, Insert)
    assert tuple(columns) == decoded.new
    assert end == len(frame)


def test_the_limits_of_pythons_own_types_are_read_back() -> None:
    plan = compiled(
        layout("t", {"d": shop.DATE, "t": _base(Builtin.TIME), "s": shop.TIMESTAMP}), unkeyed=True
    )
    frame = _frame("9999-12-31", "23:59:59.999999", "0001-01-01 00:00:00")
    assert _read(plan, transcode(plan, frame, START)[0]) == {
        "d": date.max,
        "t": time.max,
        "s": datetime.min,  # noqa: DTZ901 - a local timestamp has no zone
    }
