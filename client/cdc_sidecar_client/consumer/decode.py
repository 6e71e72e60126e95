"""Bytes in, events out: Confluent's frames, Avro, JSON in them, and raw bytes."""

import json
import struct
from collections.abc import Collection
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from io import BytesIO
from typing import Any, Final

import fastavro

from cdc_sidecar_client.consumer.errors import Undecodable
from cdc_sidecar_client.consumer.record import TOMBSTONE, Event, Record
from cdc_sidecar_client.consumer.registry import SchemaRegistry

_FRAME: Final = struct.Struct(">bI")  # Confluent's wire format: byte 0, the schema id
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TEXTS: Final = ("string", "bytes")  # schemas of payloads that are not Avro themselves
_DAMAGE: Final = (  # what fastavro raises for bytes that do not fit the schema
    *(EOFError, ValueError, TypeError, IndexError, KeyError, ArithmeticError, AttributeError),
    *(struct.error, MemoryError, RecursionError),
)


class Decoder:
    """Decodes records. The values of `raw_topics` have no frame: `payload = "raw"`."""

    def __init__(self, registry: SchemaRegistry, raw_topics: Collection[str] = ()) -> None:
        self._registry = registry
        self._raw_topics = frozenset(raw_topics)

    def decode(self, record: Record) -> Event[Any]:
        """Return the event of a record.

        Raises:
            Undecodable: the bytes do not fit the schema.
            SchemaMissing: no registry has the schema.
            RegistryUnavailable: a registry does not answer.

        """
        payload = self._payload(record)
        kind, lsn = record.header("type"), record.header("commit_lsn")
        identifier = record.header("id")
        if kind is None and payload is None:
            kind = TOMBSTONE
        elif kind is None and isinstance(payload, dict) and isinstance(payload.get("source"), dict):
            kind, identifier, lsn = _of_envelope(payload)
        return Event(
            identifier,
            kind,
            *(record.topic, record.partition, record.offset),
            key=None if record.key is None else self._key(record.key),
            payload=payload,
            commit_lsn=int(lsn) if lsn and lsn.isdecimal() else None,
            headers={name: value.decode(errors="replace") for name, value in record.headers},
            timestamp=_EPOCH + timedelta(milliseconds=max(record.timestamp, 0)),
        )

    def _key(self, key: bytes) -> Any:  # noqa: ANN401 - what the schema says
        if not _is_framed(key):
            return _text(key)
        return self._avro(key)[0]

    def _payload(self, record: Record) -> Any:  # noqa: ANN401 - what the schema says
        value = record.value
        if value is None:
            return None
        if record.topic in self._raw_topics or not _is_framed(value):
            return _json(_text(value))
        decoded, schema = self._avro(value)
        kind = schema["type"] if isinstance(schema, dict) else schema
        return _json(decoded) if kind in _TEXTS else decoded

    def _avro(self, data: bytes) -> tuple[Any, Any]:
        """Return the value in a frame, and its schema."""
        _, identifier = _FRAME.unpack_from(data)
        schema, stream = self._registry.schema(identifier), BytesIO(data)
        stream.seek(_FRAME.size)
        try:
            value = fastavro.schemaless_reader(stream, schema, None)
        except _DAMAGE as error:
            raise Undecodable(f"not a value of schema {identifier}: {error!r}") from error
        if stream.tell() != len(data):
            left = len(data) - stream.tell()
            raise Undecodable(f"{left} bytes after a value of schema {identifier}")
        return value, schema


def _is_framed(data: bytes) -> bool:
    return len(data) > _FRAME.size and data[0] == 0


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _json(payload: str | bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return the JSON in a payload, with exact numbers; the payload itself if it is not JSON."""
    try:
        return json.loads(payload, parse_float=Decimal)
    except (ValueError, RecursionError):
        return payload


def _of_envelope(payload: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Return type, id and commit LSN of a table event: docs/reference/events.md."""
    lsn = payload["source"].get("commit_lsn")
    order = (payload.get("transaction") or {}).get("total_order")
    identifier = f"{lsn}:{order}" if lsn is not None and order is not None else None
    return payload.get("op"), identifier, None if lsn is None else str(lsn)
