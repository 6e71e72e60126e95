"""The compiled twins write what the plain ones write, and refuse what they refuse."""

import os
import struct
import subprocess
import sys
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdc_sidecar.errors import ProtocolViolation, RecordTooLarge, Unrepresentable
from cdc_sidecar.events import envelope
from cdc_sidecar.events import transcode as plain
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.layout import Slot, lay_out
from cdc_sidecar.events.mapping import Schema
from cdc_sidecar.events.plan import Plan
from cdc_sidecar.events.record import Record
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.events.schema import envelope_schema
from cdc_sidecar.events.twin import VARIABLE
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.pgoutput import UNCHANGED, Origin
from tests.unit import wire
from tests.unit.shop import compiled
from tests.unit.test_layout import shuffled
from tests.unit.tuples import ALL, KINDS, ODD, START

native: Any = pytest.importorskip(
    "cdc_sidecar.events._transcode", reason="no C compiler was available to build the twin"
)
native_envelope: Any = pytest.importorskip("cdc_sidecar.events._envelope")
native_transaction: Any = pytest.importorskip("cdc_sidecar.events._transaction")

EXAMPLES = int(os.environ.get("TWIN_EXAMPLES", "300"))
"""More for a fuzzing run: `TWIN_EXAMPLES=100000 pytest tests/unit/test_twins.py`."""

_PLAN = compiled(ALL)
_KEYED = compiled(ODD)
_ALMOST = st.text("0123456789-+:. TBCeEINfinitya\\x_,{}tfn\0", max_size=30).map(str.encode)
"""Texts that look like values, but mostly are not."""
_EDGES = [
    "", "-", "+1", "1_0", " 1", "1 ", "007", "-0", "9" * 18, "9" * 19, "-" + "9" * 18, "1.5",
    "1.50", "-0.01", "-.50", "0.00", "0.005", "NaN", "Infinity", "-Infinity", "1e400",
    "-1e-400", "1e", ".", "0.1", "16777217", "8.5899346e+09", "1.17549435e-38", "1e-45",
    "3.4028236e+38", "3.4028234e+38", "1.00000017881393432617187499",
    "1.00000017881393432617187500", "2024-02-29", "2023-02-29", "0001-01-01", "0000-01-01",
    "9999-12-31", "10000-01-01", "2024-01-01 BC", "2024-13-01", "2024-00-10", "infinity",
    "-infinity", "24:00:00", "23:59:60", "00:00:00.000001", "00:00:00.", "00:00:00.1234567",
    "25:00:00", "2024-02-29 23:59:59.9+00", "2024-02-29 24:00:00", "2024-02-29 00:00:00+01",
    "2024-02-29T00:00:00", "294276-12-31 00:00:00+00", "t", "f", "true", "\\x", "\\x0",
    "\\x00ff", "\\x00FF", "\\xzz", "x00", "\\x 00", "4713-01-01 00:00:00 BC",
]  # fmt: skip


_STATUS = """
from cdc_sidecar.runtime.status import Status
print(Status("", "", "", "", 0.0).as_json()["transcoder"])
"""


def _outcome(twin: Any, plan: Plan, frame: bytes, start: int, old: int = -1) -> object:  # noqa: ANN401 - a module
    """Return the bytes that a twin makes of a row, or its error."""
    try:
        return twin.Transcoder(plan).transcode(frame, start, old)
    except (ProtocolViolation, Unrepresentable) as error:
        return type(error), error.fact, error.hint


def _assert_equal(plan: Plan, frame: bytes, start: int = START, old: int = -1) -> None:
    assert _outcome(native, plan, frame, start, old) == _outcome(plain, plan, frame, start, old)


def _frame(*cells: wire.Cell) -> bytes:
    return wire.frame(1, wire.insert(1, cells))


_CELLS = st.tuples(
    *(
        st.none()
        | st.just(UNCHANGED)
        | kind.values.map(kind.spell)
        | _ALMOST
        | st.sampled_from(_EDGES)
        for kind in KINDS
    )
)


@settings(max_examples=EXAMPLES)
@given(_CELLS)
def test_both_twins_write_or_refuse_the_same_row(cells: tuple[wire.Cell, ...]) -> None:
    _assert_equal(_PLAN, _frame("7", *cells))


@pytest.mark.parametrize("place", range(len(KINDS)), ids=lambda place: KINDS[place].facts.name)
def test_both_twins_agree_at_the_edges_of_every_type(place: int) -> None:
    for text in _EDGES:
        cells: list[wire.Cell] = [None] * len(KINDS)
        cells[place] = text
        _assert_equal(_PLAN, _frame("7", *cells))


@settings(max_examples=EXAMPLES)
@given(st.floats(width=32, allow_nan=False), st.integers(-3, 3))
def test_both_twins_round_to_a_float_alike(number: float, nudge: int) -> None:
    bits = struct.unpack("<q", struct.pack("<d", number))[0] + (nudge << 27)
    (near,) = struct.unpack("<d", struct.pack("<q", max(-(2**63), min(2**63 - 1, bits))))
    cells: list[wire.Cell] = [None] * len(KINDS)
    place = next(place for place, kind in enumerate(KINDS) if kind.facts.name == "FLOAT4")
    for text in (repr(near), f"{near:.9g}", f"{near:.30g}"):
        cells[place] = text
        _assert_equal(_PLAN, _frame("7", *cells))


@settings(max_examples=EXAMPLES)
@given(st.from_regex(r"-?([0-9]{1,17})?(\.[0-9]{0,17})?", fullmatch=True))
@example("999999999999999.")
@example("0.1234567890123456")
@example("-0.000")
@example("9007199254740993")
def test_both_twins_read_a_decimal_number_alike(text: str) -> None:
    for name in ("FLOAT4", "FLOAT8"):
        cells: list[wire.Cell] = [None] * len(KINDS)
        cells[next(place for place, kind in enumerate(KINDS) if kind.facts.name == name)] = text
        _assert_equal(_PLAN, _frame("7", *cells))


@settings(max_examples=EXAMPLES)
@given(_CELLS, _CELLS)
@example((UNCHANGED,) * len(KINDS), (None,) * len(KINDS))
def test_both_twins_take_an_unchanged_value_from_the_old_row(
    old: tuple[wire.Cell, ...], new: tuple[wire.Cell, ...]
) -> None:
    frame = wire.frame(1, wire.update(1, ("7", *new), old=("7", *old)))
    try:
        end = plain.columns_of(frame, START)[1]
    except ProtocolViolation:
        return
    _assert_equal(_PLAN, frame, end + 1, START)


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_both_twins_refuse_a_mangled_frame_alike_and_read_nothing_beyond_it(
    data: st.DataObject,
) -> None:
    frame = bytearray(_frame("1", "12.50", "2024-02-29 00:00:00", "{1,NULL}", "t", "1.5"))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(START, len(frame) - 1))
        frame[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(START - 2, len(frame)))
    _assert_equal(_KEYED, bytes(frame[:cut]))
    _assert_equal(_KEYED, bytes(frame))


@given(st.integers(-3, 80))
def test_both_twins_refuse_a_start_outside_of_the_frame(start: int) -> None:
    frame = _frame("1", None, None, None, None, None)
    if start >= 0:
        _assert_equal(_KEYED, frame, start)
    else:
        with pytest.raises(ProtocolViolation):
            native.Transcoder(_KEYED).transcode(frame, start)


def test_a_row_larger_than_all_before_finds_room() -> None:
    for size in (1, 1_000, 5_000, 1_000_000):
        cells: list[wire.Cell] = [None] * len(KINDS)
        place = next(place for place, kind in enumerate(KINDS) if kind.facts.name == "text")
        cells[place] = "x" * size
        _assert_equal(_PLAN, _frame("7", *cells))


def test_a_transcoder_remembers_nothing_of_a_refused_row() -> None:
    walker = native.Transcoder(_KEYED)
    good = _frame("1", "12.50", None, None, "t", "1.5")
    expected = walker.transcode(good, START)
    with pytest.raises(Unrepresentable):
        walker.transcode(_frame("999999", "NaN", None, None, None, None), START)
    assert walker.transcode(good, START) == expected


# --- envelopes


_TIMES = st.integers(-(2**50), 2**50)
_LSNS = st.integers(1, 2**62)
_BEGINS = st.tuples(_LSNS, st.none() | st.integers(0, 2**32 - 1), _TIMES, _TIMES)
_ORIGINS = st.none() | st.builds(Origin, _LSNS.map(Lsn), st.text(max_size=9))
_ROWS = st.none() | st.binary(max_size=9)
_EVENTS = st.tuples(
    st.integers(0, 2), _LSNS, st.sampled_from("cudtr"), _ROWS, _ROWS, st.binary(max_size=3), _ROWS
)


@settings(max_examples=EXAMPLES)
@given(
    st.lists(st.tuples(_BEGINS, _ORIGINS, st.lists(_EVENTS, max_size=6)), max_size=4),
    st.integers(0, 10**6),
    st.randoms(use_true_random=False),
)
def test_both_twins_write_the_same_events_in_any_order_of_fields(
    transactions: list[Any], before: int, order: Random
) -> None:
    schema = shuffled(envelope_schema("shop.t", ()), order)
    written = [_written(twin, schema, transactions, before) for twin in _TWINS]
    assert written[0] == written[1]


class _Native:
    """The compiled twins of what `envelope.py` has."""

    SourceTransaction = native_transaction.SourceTransaction
    Envelope = native_envelope.Envelope


_TWINS = (envelope, _Native)


def _written(twin: Any, schema: Schema, transactions: list[Any], before: int) -> list[object]:  # noqa: ANN401 - a module
    """Return all that a twin makes of transactions over three tables, two events at each LSN."""
    tables = [_table(twin, schema, number) for number in range(3)]
    written: list[object] = []
    for begin, origin, events in transactions:
        transaction = twin.SourceTransaction(*begin)
        if origin:
            transaction.set_origin(origin)
        transaction.resume(before, {"public.t1": before // 2})
        for number, lsn, op, old, new, own, key in events:
            for _ in range(2):
                transaction.step(lsn)
                written.append(tables[number].encode(transaction, op, old, new, own, 2))
                written.append(_refusal(tables[number].append, transaction, op, old, new, own, key))
                written += [transaction.lsn, transaction.index, transaction.size]
        rows = [(new or b"", key) for _, _, _, _, new, _, key in events]
        written.append(_refusal(tables[1].append_rows, transaction, rows))
        tables[0].extend(transaction, ("d", "c"), [Record("x", b"v", None, 1, [("h", b"1")])])
        written += [transaction.orders, transaction.total_order, transaction.counts]
        written += [transaction.final_lsn, transaction.xid, transaction.commit_time]
        written += [_fields(record) for record in transaction.records]
        transaction.release()
        written += [transaction.records, transaction.size, transaction.counts]
    return written


def _table(twin: Any, schema: Schema, number: int) -> Any:  # noqa: ANN401 - a module
    """Return an envelope whose topic takes most of these events."""
    constants = Source("1.0", "shöp", "shopdb").constants("public", f"t{number}")
    route = TopicRoute("topic", b"k%d" % number, b"v", 1, 290)
    return twin.Envelope(f"public.t{number}", route, lay_out(schema, constants, b"v"))


def _refusal(append: Any, *event: object) -> str | None:  # noqa: ANN401 - a method of either twin
    try:
        append(*event)
    except RecordTooLarge as refused:
        return str(refused)
    return None


def _fields(record: Record) -> tuple[object, ...]:
    fields = (record.topic, record.value, record.key, record.partition, record.headers)
    return (*fields, record.size, record.batch_topic)


def test_records_of_both_twins_are_equal_where_their_fields_are() -> None:
    fields = ("topic", b"value", b"key", 2, [("id", b"7")], 1_700_000_000_000)
    compiled_record = native_transaction.Record(*fields)
    assert compiled_record == Record(*fields)
    assert compiled_record == native_transaction.Record(*fields)
    assert compiled_record != Record("topic", b"value", b"key", 2)
    assert compiled_record != fields
    assert repr(compiled_record) == f"Record{fields}"


def test_the_compiled_envelope_refuses_a_layout_with_a_slot_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        native_envelope.Envelope("t", TopicRoute("t", b"", b"", 1, 9), (Slot.OP, Slot.OP))


@pytest.mark.parametrize("name", ["python", "native"])
def test_a_variable_chooses_the_twin_and_version_and_status_say_which_runs(name: str) -> None:
    def said(*words: str) -> str:
        environment = {**os.environ, VARIABLE: name}
        return subprocess.check_output([sys.executable, *words], env=environment, text=True)

    assert said("-m", "cdc_sidecar", "--version").endswith(f"(transcoder: {name})\n")
    assert said("-c", _STATUS) == f"{name}\n"
