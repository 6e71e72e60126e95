"""Every driver writes an event in each shape: with the caller's transaction, or not at all."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from cdc_sidecar_client import NotInTransaction, Outbox, PayloadRefused
from cdc_sidecar_client.statements import Shape
from psycopg.rows import dict_row

from cdc_sidecar.operations.outbox_sql import outbox_sql
from tests.client.callers import CALLERS, Caller
from tests.client.wal import make_slot, messages, operations, read_changes

SCHEMA = {
    "type": "record",
    "name": "OrderPlaced",
    "fields": [
        {"name": "customer", "type": "string"},
        {
            "name": "total",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        },
    ],
}
PAYLOAD = {"customer": 'Zoë 100% "$1"', "total": "12.50"}
EVENT: dict[str, Any] = {
    "event": {"customer": 'Zoë 100% "$1"', "total": Decimal("12.50")},
    "aggregate": ("order", "42"),
    "type": "OrderPlaced",
    "extra": {"part": 3},
}
drivers = pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS.keys())
shapes = pytest.mark.parametrize("shape", ["table", "transient", "message"])


def _outbox(shape: Shape, **more: Any) -> Outbox:  # noqa: ANN401 - the arguments of Outbox
    return Outbox(shape, schemas={"OrderPlaced": SCHEMA}, **more)


@pytest.fixture
def prepared(database: str) -> str:
    """Return a database with an outbox table and a slot."""
    with psycopg.connect(database, autocommit=True) as connection:
        sql = outbox_sql("table", table="public.outbox", role="postgres")
        connection.execute(sql.encode())
        connection.execute("ALTER TABLE outbox ADD part int")
    make_slot(database)
    return database


def rows(dsn: str) -> list[dict[str, Any]]:
    """Return the rows of the outbox."""
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        return connection.execute("SELECT * FROM outbox").fetchall()


def _written(event_id: UUID) -> dict[str, Any]:
    key = {"aggregatetype": "order", "aggregateid": "42", "type": "OrderPlaced"}
    return {"id": str(event_id), **key, "payload": PAYLOAD, "part": 3}


@drivers
@shapes
def test_an_event_is_committed_with_the_transaction(
    prepared: str, caller: Caller, shape: Shape
) -> None:
    event_id = caller.emit(prepared, _outbox(shape), EVENT, "commit")
    lines = read_changes(prepared)
    if shape == "message":
        assert messages(lines) == [("outbox", _written(event_id))]
        assert operations(lines) == []
        return
    table = rows(prepared)
    assert operations(lines) == (["INSERT"] if shape == "table" else ["INSERT", "DELETE"])
    assert str(event_id) in lines[0]
    traces = {"traceparent": None, "tracestate": None}
    expected = _written(event_id) | {"id": event_id} | traces
    assert table == ([expected] if shape == "table" else [])


@drivers
@shapes
def test_an_event_is_rolled_back_with_the_transaction(
    prepared: str, caller: Caller, shape: Shape
) -> None:
    caller.emit(prepared, _outbox(shape), EVENT, "rollback")
    assert rows(prepared) == []
    assert read_changes(prepared) == []


@drivers
@shapes
def test_an_event_is_refused_outside_a_transaction(
    prepared: str, caller: Caller, shape: Shape
) -> None:
    with pytest.raises(NotInTransaction, match="emit "):
        caller.emit_outside(prepared, _outbox(shape), EVENT)
    assert rows(prepared) == []
    assert read_changes(prepared) == []


@drivers
def test_a_payload_that_does_not_fit_is_refused_before_anything_is_written(
    prepared: str, caller: Caller
) -> None:
    wrong = EVENT | {"event": {"customer": "Zoë", "total": Decimal("12.505")}}
    expected = r"OrderPlaced: \$\.total has more fraction digits than decimal\(9, 2\)"
    with pytest.raises(PayloadRefused, match=expected):
        caller.emit(prepared, _outbox("table"), wrong, "commit")
    assert read_changes(prepared) == []
