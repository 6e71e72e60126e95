"""One decoder reads messages: `tail` prints what it returns, the demo compares it."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import fastavro
import pytest
from confluent_kafka import Message

from cdc_sidecar.commands.tail import as_json
from cdc_sidecar.demo.received import received
from cdc_sidecar.demo.verdict import OUTBOX, TOMBSTONE, Event
from cdc_sidecar.errors import SchemasUnreadable
from cdc_sidecar.kafka.messages import DecodedMessage, MessageDecoder

_ROW = {
    "type": "record",
    "name": "Row",
    "fields": [{"name": "id", "type": "long"}, {"name": "paid", "type": ["null", "boolean"]}],
}
_SOURCE = {
    "type": "record",
    "name": "Source",
    "fields": [{"name": "commit_lsn", "type": "long"}, {"name": "ts_us", "type": "long"}],
}
_TRANSACTION = {
    "type": "record",
    "name": "Transaction",
    "fields": [{"name": "total_order", "type": "long"}],
}
_ENVELOPE = {
    "type": "record",
    "name": "Envelope",
    "fields": [
        {"name": "before", "type": ["null", _ROW]},
        {"name": "after", "type": ["null", "Row"]},
        {"name": "source", "type": _SOURCE},
        {"name": "transaction", "type": _TRANSACTION},
        {"name": "op", "type": "string"},
        {"name": "unchanged", "type": {"type": "array", "items": "string"}},
    ],
}
_KEY = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}
_SCHEMAS: dict[int, Any] = {1: _KEY, 2: _ENVELOPE, 3: "string"}
_VALUE = {
    "before": None,
    "after": {"id": 7, "paid": True},
    "source": {"commit_lsn": 100, "ts_us": 1_500_000},
    "transaction": {"total_order": 2},
    "op": "c",
    "unchanged": ["note"],
}


@dataclass
class _Message:
    """A message of Kafka, reduced to the methods that the decoder calls."""

    raw_key: bytes | str | None
    raw_value: bytes | None
    raw_headers: Sequence[tuple[str, bytes | None]] | None = None

    def topic(self) -> str:
        return "shop.public.orders"

    def partition(self) -> int:
        return 1

    def offset(self) -> int:
        return 42

    def key(self) -> bytes | str | None:
        return self.raw_key

    def value(self) -> bytes | None:
        return self.raw_value

    def headers(self) -> Sequence[tuple[str, bytes | None]] | None:
        return self.raw_headers


def _framed(identifier: int, value: Any) -> bytes:  # noqa: ANN401 - a value of the schema
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(_SCHEMAS[identifier]), value)
    return b"\0" + identifier.to_bytes(4, "big") + buffer.getvalue()


def _schema_of(identifier: int) -> str | None:
    return json.dumps(_SCHEMAS[identifier]) if identifier in _SCHEMAS else None


def _decoded(message: _Message) -> DecodedMessage:
    return MessageDecoder(_schema_of).decode(cast("Message", message))


_TABLE_EVENT = _Message(_framed(1, {"id": 7}), _framed(2, _VALUE))
_TOMBSTONE = _Message(_framed(1, {"id": 7}), None)
_OUTBOX_EVENT = _Message(
    _framed(3, "7"), _framed(3, "{}"), [("id", b"8d5e"), ("type", b"Placed"), ("trace", None)]
)
_FOREIGN = _Message("key", b"caf\xe9", [("who", b"\xe9")])


def test_key_and_value_are_decoded_and_the_position_is_kept() -> None:
    decoded = _decoded(_TABLE_EVENT)
    assert (decoded.topic, decoded.partition, decoded.offset) == ("shop.public.orders", 1, 42)
    assert (decoded.key, decoded.value, decoded.headers) == ({"id": 7}, _VALUE, {})


def test_tail_prints_an_event_in_the_order_of_its_fields_and_no_empty_headers() -> None:
    printed = as_json(_decoded(_TABLE_EVENT))
    assert list(printed) == ["topic", "partition", "offset", "key", "value"]
    assert json.loads(json.dumps(printed))["value"] == _VALUE


def test_tail_prints_null_for_the_value_of_a_tombstone() -> None:
    assert as_json(_decoded(_TOMBSTONE))["value"] is None


def test_tail_prints_headers_as_text() -> None:
    headers = as_json(_decoded(_OUTBOX_EVENT))["headers"]
    assert headers == {"id": "8d5e", "type": "Placed", "trace": None}


def test_tail_prints_a_message_that_is_not_avro_as_text() -> None:
    printed = as_json(_decoded(_FOREIGN))
    assert (printed["key"], printed["value"]) == ("key", "caf\\xe9")
    assert printed["headers"] == {"who": "\N{REPLACEMENT CHARACTER}"}


def test_tail_prints_a_message_of_an_unknown_schema_as_text() -> None:
    assert as_json(_decoded(_Message(None, b"\0\0\0\0\x09x")))["value"] == "\0\0\0\0\tx"


def test_the_demo_compares_the_event_of_a_table() -> None:
    after = {"id": "7", "paid": "t"}
    arrived = received(_decoded(_TABLE_EVENT))
    assert arrived.event == Event(
        "shop.public.orders", '["7"]', "100/2", "c", after=after, unchanged=("note",)
    )
    assert arrived.committed_at == 1.5


def test_the_demo_compares_a_tombstone_by_its_key() -> None:
    arrived = received(_decoded(_TOMBSTONE))
    assert arrived.event == Event("shop.public.orders", '["7"]', TOMBSTONE, TOMBSTONE)
    assert arrived.committed_at is None


def test_the_demo_compares_an_outbox_event_by_its_id() -> None:
    after = {"type": "Placed", "payload": "{}"}
    arrived = received(_decoded(_OUTBOX_EVENT))
    assert arrived.event == Event("shop.public.orders", '["7"]', "8d5e", OUTBOX, after=after)
    assert arrived.committed_at is None


def test_the_demo_refuses_a_message_that_is_not_avro() -> None:
    with pytest.raises(SchemasUnreadable, match="without Confluent's frame"):
        received(_decoded(_FOREIGN))
