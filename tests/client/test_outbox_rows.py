"""What an outbox writes: other columns and payloads, the caller's values, traces and tombstones."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import psycopg
import pytest
from cdc_sidecar_client import (
    ConnectionUnknown,
    EventTypeUnknown,
    Outbox,
    OutboxMistaken,
)
from cdc_sidecar_client.statements import PayloadAs
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    use_span,
)
from psycopg.rows import dict_row

from tests.client.wal import make_slot, messages, read_changes

Columns = dict[str, str | None]

EVENT: dict[str, Any] = {
    "event": {"n": 1, "text": "a\\b"},
    "aggregate": ("order", 42),
    "type": "Counted",
}


@contextmanager
def outbox_table(dsn: str, columns: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """Make `Shop`.`Out%box` with these columns; yield a connection."""
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        connection.execute('CREATE SCHEMA "Shop"')
        connection.execute(f'CREATE TABLE "Shop"."Out%box" ({columns})'.encode())
        connection.commit()
        yield connection


def rows(connection: psycopg.Connection[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the table."""
    return connection.execute(b'SELECT * FROM "Shop"."Out%box"').fetchall()


_NAMES: Columns = {"id": "event id", "type": "kind", "tracestate": None, "partition": "part"}
_COLUMNS = """"event id" {id} PRIMARY KEY, aggregatetype text, aggregateid varchar, kind text,
    payload {payload}, traceparent text, part int, version bigint, "timestamp" timestamptz"""


@pytest.mark.parametrize("id_type", ["uuid", "text"])
@pytest.mark.parametrize(
    ("payload", "payload_as", "expected"),
    [
        ("jsonb", "text", {"n": 1, "text": "a\\b"}),
        ("json", "text", {"n": 1, "text": "a\\b"}),
        ("text", "text", '{"n":1,"text":"a\\\\b"}'),
        ("varchar", "text", '{"n":1,"text":"a\\\\b"}'),
        ("bytea", "bytes", b'{"n":1,"text":"a\\\\b"}'),
    ],
)
def test_columns_have_the_names_and_the_types_of_the_owner(
    database: str, id_type: str, payload: str, payload_as: PayloadAs, expected: object
) -> None:
    outbox = Outbox(table="Shop.Out%box", columns=_NAMES, payload_as=payload_as)
    moment = datetime(2026, 11, 28, 12, 30, tzinfo=timezone.utc)  # noqa: UP017 - as in 3.10
    chosen = UUID(int=7)
    extra = {"partition": 3, "version": 2**40, "timestamp": moment}
    with outbox_table(database, _COLUMNS.format(id=id_type, payload=payload)) as connection:
        assert outbox.emit(connection, **EVENT, id=chosen, extra=extra) == chosen
        (row,) = rows(connection)
    assert row == {
        "event id": chosen if id_type == "uuid" else str(chosen),
        "aggregatetype": "order",
        "aggregateid": "42",
        "kind": "Counted",
        "payload": expected,
        "traceparent": None,
        "part": 3,
        "version": 2**40,
        "timestamp": moment,
    }


@pytest.mark.parametrize(
    ("payload", "payload_as"), [("json", "text"), ("text", "text"), ("bytea", "bytes")]
)
def test_a_zero_byte_is_taken_where_postgres_can_hold_it(
    database: str, payload: str, payload_as: PayloadAs
) -> None:
    field = {"name": "f", "type": "bytes"}
    schemas = {"R": {"type": "record", "name": "R", "fields": [field]}}
    outbox = Outbox(table="Shop.Out%box", columns=_NAMES, payload_as=payload_as, schemas=schemas)
    event = EVENT | {"event": {"f": b"\0"}, "type": "R"}
    with outbox_table(database, _COLUMNS.format(id="uuid", payload=payload)) as connection:
        outbox.emit(connection, **event)
        (row,) = rows(connection)
    text = '{"f":"\\u0000"}'
    assert row["payload"] in (text, text.encode(), {"f": "\0"})


def test_a_tombstone_is_null_in_a_table_and_in_a_message(database: str) -> None:
    make_slot(database)
    columns = _COLUMNS.format(id="uuid", payload="jsonb")
    with outbox_table(database, columns) as connection:
        written = EVENT | {"event": None}
        Outbox(table="Shop.Out%box", columns=_NAMES).emit(connection, **written)
        Outbox("message", prefix="shop.orders").emit(connection, **written)
        assert [row["payload"] for row in rows(connection)] == [None]
        connection.commit()
    ((prefix, content),) = messages(read_changes(database))
    assert prefix == "shop.orders"
    assert content["payload"] is None


def test_a_message_has_the_names_of_the_columns_and_the_values_of_the_caller(database: str) -> None:
    make_slot(database)
    outbox = Outbox("message", columns={"payload": "body", "partition": "part"})
    moment = datetime(2026, 11, 28, tzinfo=timezone.utc)  # noqa: UP017 - as in 3.10
    with psycopg.connect(database) as connection:
        event_id = outbox.emit(
            connection, **EVENT, extra={"partition": 3, "timestamp": moment, "tenant": "a"}
        )
    ((_, content),) = messages(read_changes(database))
    assert content == {
        "id": str(event_id),
        "aggregatetype": "order",
        "aggregateid": "42",
        "type": "Counted",
        "body": {"n": 1, "text": "a\\b"},
        "part": 3,
        "timestamp": "2026-11-28T00:00:00+00:00",
        "tenant": "a",
    }


def test_an_event_has_the_trace_in_which_it_was_emitted(database: str) -> None:
    make_slot(database)
    state = TraceState([("vendor", "x")])
    flags = TraceFlags(TraceFlags.SAMPLED)
    context = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=flags, trace_state=state)
    with (
        psycopg.connect(database) as connection,
        use_span(NonRecordingSpan(context)),
    ):
        Outbox("message").emit(connection, **EVENT)
    ((_, content),) = messages(read_changes(database))
    assert content["traceparent"] == f"00-{0xABC:032x}-{0xDEF:016x}-01"
    assert content["tracestate"] == "vendor=x"


def test_ids_are_version_7_and_grow_from_one_millisecond_to_the_next(database: str) -> None:
    with psycopg.connect(database) as connection:
        ids = [Outbox("message").emit(connection, **EVENT) for _ in range(50)]
    assert {event_id.version for event_id in ids} == {7}
    assert {event_id.variant for event_id in ids} == {uuid.RFC_4122}
    milliseconds = [event_id.int >> 80 for event_id in ids]
    assert milliseconds == sorted(milliseconds)
    assert len(set(ids)) == 50


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"aggregate": ("", "42")}, "aggregate is not a pair"),
        ({"aggregate": ("order", None)}, "aggregate is not a pair"),
        ({"aggregate": "order"}, "aggregate is not a pair"),
        ({"type": None}, "pass type="),
        ({"type": ""}, "pass type="),
        ({"extra": {"a": object()}}, "a value of extra is of the Python type object"),
    ],
)
def test_a_wrong_argument_is_refused(database: str, wrong: dict[str, Any], expected: str) -> None:
    with psycopg.connect(database) as connection, pytest.raises(OutboxMistaken, match=expected):
        Outbox("message").emit(connection, **EVENT | wrong)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"shape": "tabel"}, "shape 'tabel' is none of table, transient, message"),
        ({"prefix": "cdc-sidecar.x"}, "begins with cdc-sidecar"),
        ({"payload_as": "json"}, "payload_as 'json' is none of text, bytes"),
        ({"columns": {"tracparent": None}}, "did you mean traceparent"),
        ({"columns": {"colour": None}}, "known: id, aggregatetype"),
        ({"columns": {"payload": None}}, "leaves out payload"),
        ({"schemas": "no-such-folder"}, "no-such-folder is not a folder"),
        ({"schemas": {"A": "no-such-file.avsc"}}, "no-such-file.avsc cannot be read"),
    ],
)
def test_a_wrong_outbox_is_refused(wrong: dict[str, Any], expected: str) -> None:
    with pytest.raises(OutboxMistaken, match=expected):
        Outbox(**wrong)


def test_a_type_without_a_schema_is_refused_with_the_one_that_was_meant(database: str) -> None:
    schema = {"type": "record", "name": "Counted", "fields": []}
    outbox = Outbox("message", schemas={"Counted": schema})
    with psycopg.connect(database) as connection:
        with pytest.raises(EventTypeUnknown, match="did you mean Counted"):
            outbox.emit(connection, **EVENT | {"type": "Countd"})
        with pytest.raises(EventTypeUnknown, match="known: Counted"):
            outbox.emit(connection, **EVENT | {"type": "OrderPlaced", "event": None})


def test_what_is_not_a_connection_is_refused_by_its_name() -> None:
    with pytest.raises(ConnectionUnknown, match=r"builtins\.object cannot be used here: known are"):
        Outbox("message").emit(object(), **EVENT)


async def _emit_async(connection: object) -> None:
    await Outbox("message").emit_async(connection, **EVENT)


def test_a_connection_of_the_other_kind_is_refused_with_the_right_function(database: str) -> None:
    with psycopg.connect(database) as connection:
        with pytest.raises(ConnectionUnknown, match="call emit or position instead"):
            _emit_async(connection).send(None)
        wrapper = psycopg.AsyncConnection(connection.pgconn)
        with pytest.raises(ConnectionUnknown, match="await emit_async"):
            Outbox("message").emit(wrapper, **EVENT)
