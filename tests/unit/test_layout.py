"""Only its schema defines the order of an envelope's fields, and both twins follow it."""

import io
import json
from itertools import pairwise
from random import Random
from typing import Any, cast

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_sidecar.events import envelope, twin
from cdc_sidecar.events.binary import EMPTY, encode_bytes, encode_string
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.layout import Slot, lay_out
from cdc_sidecar.events.mapping import Schema
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.events.schema import Field, envelope_schema, message_schema
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.pgoutput import Origin

TWINS: list[Any] = [envelope, twin] if twin.NAME == "native" else [envelope]

_SOURCE = Source("1.2", "shop", "shopdb")
_FIELD = Field("id", {"type": "string"}, "text", nullable=False)
_COMMIT, _RECEIVED = 1_700_000_000_123_456, 1_700_000_001_000_999


def shuffled(schema: Schema, order: Random) -> Schema:
    """Return a schema with the fields of every record but the rows in another order."""
    copied: Any = json.loads(json.dumps(schema))
    _shuffle(copied, order)
    rows = {field["name"]: field for field in copied["fields"] if field["name"] in _ROWS}
    if rows and list(rows) != list(_ROWS):  # a named type is defined where it occurs first
        first, second = (rows[name] for name in rows)
        first["type"], second["type"] = second["type"], first["type"]
    result: Schema = copied
    return result


_ROWS = ("before", "after")


def _shuffle(schema: Any, order: Random) -> None:  # noqa: ANN401 - JSON
    if isinstance(schema, list):
        for branch in schema:
            _shuffle(branch, order)
    elif isinstance(schema, dict) and schema.get("type") == "record":
        if schema["name"] not in ("Value", "Message"):
            order.shuffle(schema["fields"])
        for field in schema["fields"]:
            _shuffle(field["type"], order)


def _read(schema: Schema, value: bytes) -> Any:  # noqa: ANN401 - a value of the schema
    return fastavro.schemaless_reader(io.BytesIO(value), fastavro.parse_schema(schema), None)


def _source(table: str, xid: int | None) -> dict[str, object]:
    return {
        "version": "1.2",
        "connector": "postgresql",
        "name": "shop",
        "ts_ms": _COMMIT // 1000,
        "snapshot": "false",
        "db": "shopdb",
        "sequence": '["5000","4990"]',
        "ts_us": _COMMIT,
        "ts_ns": _COMMIT * 1000,
        "schema": "public" if table else "",
        "table": table,
        "txId": xid,
        "lsn": 4990,
        "xmin": None,
        "origin": "elsewhere",
        "origin_lsn": 77,
        "commit_lsn": 5000,
    }


def _event(
    twin_: Any,  # noqa: ANN401 - a module
    schema: Schema,
    table: str,
    op: str,
    rows: tuple[bytes | None, bytes | None],
    own: bytes,
    xid: int | None = 7,
) -> Any:  # noqa: ANN401 - a value of the schema
    """Return one event of a twin, as a reader decodes it."""
    layout = lay_out(schema, _SOURCE.constants("public" if table else "", table))
    route = TopicRoute("topic", b"", b"", 1, 1000)
    transaction = twin_.SourceTransaction(5000, xid, _COMMIT, _RECEIVED)
    transaction.set_origin(Origin(Lsn(77), "elsewhere"))
    transaction.step(4990)
    twin_.Envelope("collection", route, layout).append(transaction, op, *rows, own, None)
    return _read(schema, transaction.records[0].value)


@pytest.mark.parametrize("twin_", TWINS)
@given(st.randoms(use_true_random=False))
def test_an_event_follows_its_schema_in_any_order_of_fields(
    twin_: Any,  # noqa: ANN401 - a module
    order: Random,
) -> None:
    schema = shuffled(envelope_schema("shop.public.t", (_FIELD,)), order)
    rows = (encode_string("old"), encode_string("new"))
    event = _event(twin_, schema, "t", "u", rows, EMPTY)
    assert list(event) == [field["name"] for field in cast("Any", schema["fields"])]
    assert event == {
        "before": {"id": "old"},
        "after": {"id": "new"},
        "source": _source("t", 7),
        "transaction": {"id": "7:5000", "total_order": 1, "data_collection_order": 1},
        "op": "u",
        "ts_ms": _RECEIVED // 1000,
        "ts_us": _RECEIVED,
        "ts_ns": _RECEIVED * 1000,
        "unchanged": [],
    }


@pytest.mark.parametrize("twin_", TWINS)
@given(st.randoms(use_true_random=False), st.sampled_from([None, 7]))
def test_a_message_follows_its_schema_in_any_order_of_fields(
    twin_: Any,  # noqa: ANN401 - a module
    order: Random,
    xid: int | None,
) -> None:
    schema = shuffled(message_schema(), order)
    content = encode_string("audit") + encode_bytes(b"hi")
    event = _event(twin_, schema, "", "m", (None, None), content, xid)
    block = {"id": "7:5000", "total_order": 1, "data_collection_order": 1}
    assert event == {
        "op": "m",
        "ts_ms": _RECEIVED // 1000,
        "source": _source("", xid),
        "transaction": block if xid else None,
        "message": {"prefix": "audit", "content": b"hi"},
    }


def test_constants_next_to_each_other_are_one() -> None:
    layout = lay_out(envelope_schema("shop.t", ()), _SOURCE.constants("public", "t"), b"prefix")
    assert layout[:3] == (b"prefix", Slot.BEFORE, Slot.AFTER)
    pairs = pairwise(layout)
    assert not [pair for pair in pairs if not any(isinstance(part, Slot) for part in pair)]


def test_a_field_that_has_no_place_in_the_envelope_is_refused() -> None:
    schema: Schema = {"fields": [{"name": "other", "type": "string"}]}
    with pytest.raises(ValueError, match="field other"):
        lay_out(schema, {})


def test_a_nullable_field_whose_union_does_not_begin_with_null_is_refused() -> None:
    schema: Schema = {"fields": [{"name": "after", "type": ["string", "null"]}]}
    with pytest.raises(ValueError, match="field after must be a union that begins with null"):
        lay_out(schema, {})
