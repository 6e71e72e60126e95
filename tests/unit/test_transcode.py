"""A pgoutput tuple becomes the Avro row that fastavro reads."""

import math
from datetime import date, datetime, time
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_sidecar.events.transcode import columns_of, transcode
from cdc_sidecar.postgres.pgoutput import UNCHANGED, Insert, Unchanged, decode
from cdc_sidecar.postgres.types import Builtin
from tests.unit import shop, wire
from tests.unit.shop import BIGINT, INTEGER, TEXT, compiled, layout
from tests.unit.tuples import (
    ALL,
    KINDS,
    START,
    base_type,
    insert_frame,
    read_key,
    read_row,
    transcode_update,
)

_PLAN = compiled(ALL)


@given(st.data())
def test_a_row_of_every_type_is_what_fastavro_reads(data: st.DataObject) -> None:
    values = [data.draw(st.none() | kind.values) for kind in KINDS]
    cells = [
        None if value is None else kind.spell(value)
        for kind, value in zip(KINDS, values, strict=True)
    ]
    frame = insert_frame("7", *cells)
    row, key, unchanged, end = transcode(_PLAN, frame, START)
    read = read_row(_PLAN, row)
    assert read.pop("id") == 7
    assert list(read.values()) == values
    assert read_key(_PLAN, key) == {"id": 7}
    assert unchanged == ()
    assert end == len(frame)


def test_floats_that_are_no_numbers_are_kept() -> None:
    plan = compiled(layout("t", {"f": base_type(Builtin.FLOAT8)}), unkeyed=True)
    for text in ("Infinity", "-Infinity"):
        assert read_row(plan, transcode(plan, insert_frame(text), START)[0]) == {"f": float(text)}
    row = read_row(plan, transcode(plan, insert_frame("NaN"), START)[0])
    assert math.isnan(row["f"])


@given(st.lists(st.none() | st.just(UNCHANGED) | st.binary(max_size=300), max_size=20))
def test_the_columns_of_a_tuple_are_what_the_slow_decoder_finds(cells: list[wire.Cell]) -> None:
    frame = insert_frame(*cells)
    columns, end = columns_of(frame, START)
    decoded = decode(frame[25:])
    assert isinstance(decoded, Insert)
    assert tuple(columns) == decoded.new
    assert end == len(frame)


# --- keys, and columns that are not sent


_LINES = layout("lines", {"note": TEXT, "line": INTEGER, "order": BIGINT}, key=("order", "line"))


def test_a_composite_key_is_written_in_key_order() -> None:
    plan = compiled(_LINES)
    row, key, _, _ = transcode(plan, insert_frame("n", "2", "1"), START)
    assert read_row(plan, row) == {"note": "n", "line": 2, "order": 1}
    assert list(read_key(plan, key).items()) == [("order", 1), ("line", 2)]


def test_a_row_without_a_key_has_none() -> None:
    plan = compiled(layout("log", {"what": TEXT}), unkeyed=True)
    assert transcode(plan, insert_frame("x"), START)[1] is None


def test_columns_that_are_not_sent_are_skipped_with_any_content() -> None:
    plan = compiled(_LINES, columns=["order", "line"])
    for note in ("secret", None, UNCHANGED):
        row, _, unchanged, _ = transcode(plan, insert_frame(note, "2", "1"), START)
        assert read_row(plan, row) == {"line": 2, "order": 1}
        assert unchanged == ()


def test_uuid_keys_are_what_fastavro_reads() -> None:
    plan = compiled(layout("t", {"id": shop.UUID}, key=("id",)))
    text = "11111111-2222-3333-4444-555555555555"
    _, key, _, _ = transcode(plan, insert_frame(text), START)
    assert read_key(plan, key) == {"id": UUID(text)}


# --- unchanged TOAST


_BIG = layout("docs", {"id": BIGINT, "body": TEXT, "n": INTEGER}, key=("id",))


def test_an_untouched_toasted_column_is_null_and_reported() -> None:
    plan = compiled(_BIG)
    row, _, unchanged, _ = transcode(plan, insert_frame("1", UNCHANGED, "5"), START)
    assert read_row(plan, row) == {"id": 1, "body": None, "n": 5}
    assert unchanged == (1,)


def test_an_untouched_toasted_column_is_filled_from_the_old_row() -> None:
    plan = compiled(_BIG)
    row, _, unchanged, _ = transcode_update(plan, ["1", "long", "4"], ["1", UNCHANGED, "5"])
    assert read_row(plan, row) == {"id": 1, "body": "long", "n": 5}
    assert unchanged == ()


@pytest.mark.parametrize("old", [None, UNCHANGED])
def test_a_column_that_the_old_row_lacks_too_stays_unchanged(old: Unchanged | None) -> None:
    plan = compiled(_BIG)
    row, _, unchanged, _ = transcode_update(plan, ["1", old, None], ["1", UNCHANGED, "5"])
    assert read_row(plan, row) == {"id": 1, "body": None, "n": 5}
    assert unchanged == (1,)


def test_a_toasted_key_is_taken_from_the_old_key() -> None:
    plan = compiled(layout("t", {"n": INTEGER, "name": TEXT}, key=("name",)))
    row, key, unchanged, _ = transcode_update(plan, [None, "long"], ["5", UNCHANGED])
    assert read_row(plan, row) == {"n": 5, "name": "long"}
    assert read_key(plan, key) == {"name": "long"}
    assert unchanged == ()


def test_unchanged_columns_are_counted_among_those_that_are_sent() -> None:
    plan = compiled(_BIG, columns=["id", "n", "body"], column={"body": {"rename": "text"}})
    _, _, unchanged, _ = transcode(plan, insert_frame("1", UNCHANGED, UNCHANGED), START)
    assert [plan.sent[place].field.name for place in unchanged] == ["text", "n"]
    sparse = compiled(_BIG, columns=["id", "n"])
    assert transcode(sparse, insert_frame("1", UNCHANGED, UNCHANGED), START)[2] == (1,)


def test_the_limits_of_pythons_own_types_are_read_back() -> None:
    plan = compiled(
        layout("t", {"d": shop.DATE, "t": base_type(Builtin.TIME), "s": shop.TIMESTAMP}),
        unkeyed=True,
    )
    frame = insert_frame("9999-12-31", "23:59:59.999999", "0001-01-01 00:00:00")
    assert read_row(plan, transcode(plan, frame, START)[0]) == {
        "d": date.max,
        "t": time.max,
        "s": datetime.min,  # noqa: DTZ901 - a local timestamp has no zone
    }
