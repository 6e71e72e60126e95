"""Avro schemas of keys, rows and envelopes, and their content ids.

The golden form is the contract's `example-key.avsc` and `example-value.avsc`; the envelope is
Debezium's (documentation of its PostgreSQL connector, "Data change events") plus `commit_lsn` and
`unchanged`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NewType

from cdc_sidecar.events.mapping import Schema

SchemaId = NewType("SchemaId", int)
"""The first 31 bits of the SHA-256 of a schema's canonical JSON."""

STRING: Final = '"string"'
BYTES: Final = '"bytes"'


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a row: its name, its Avro type, and Postgres's name of the type."""

    name: str
    type: Schema
    postgres_type: str
    nullable: bool


def canonical_json(schema: object) -> str:
    """Return the canonical spelling of a schema, from which its id is computed."""
    return json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def schema_id(canonical: str) -> SchemaId:
    """Return the content id of a schema in canonical JSON: 31 bits, never negative."""
    return SchemaId(int.from_bytes(hashlib.sha256(canonical.encode()).digest()[:4], "big") >> 1)


def wire_prefix(identifier: SchemaId) -> bytes:
    """Return Confluent's frame: byte 0 and the id in four bytes, big-endian."""
    return b"\x00" + identifier.to_bytes(4, "big")


def key_schema(namespace: str, fields: Sequence[Field]) -> Schema:
    """Return the schema of a key: names and types only, in key order."""
    return {
        "type": "record",
        "name": "Key",
        "namespace": namespace,
        "fields": [{"name": field.name, "type": _bare(field.type)} for field in fields],
        "connect.name": f"{namespace}.Key",
    }


def envelope_schema(namespace: str, fields: Sequence[Field]) -> Schema:
    """Return the schema of a table's events."""
    value: Schema = {
        "type": "record",
        "name": "Value",
        "fields": [_value_field(field) for field in fields],
        "connect.name": f"{namespace}.Value",
    }
    return {
        "type": "record",
        "name": "Envelope",
        "namespace": namespace,
        "fields": [
            _optional("before", value),
            _optional("after", "Value"),
            {"name": "source", "type": _SOURCE},
            _optional("transaction", _TRANSACTION),
            {"name": "op", "type": "string"},
            _optional("ts_ms", "long"),
            _optional("ts_us", "long"),
            _optional("ts_ns", "long"),
            {
                "name": "unchanged",
                "type": {"type": "array", "items": "string"},
                "default": [],
                "doc": "columns whose stored value the server did not send; their fields are null",
            },
        ],
        "connect.version": 2,
        "connect.name": f"{namespace}.Envelope",
    }


def message_key_schema() -> Schema:
    """Return the schema of a logical message's key."""
    return _debezium_record("MessageKey", [{"name": "prefix", "type": "string"}])


def message_schema() -> Schema:
    """Return the schema of a logical message's value."""
    content: list[Schema] = [
        {"name": "prefix", "type": "string"},
        {"name": "content", "type": "bytes"},
    ]
    return _debezium_record(
        "MessageValue",
        [
            {"name": "op", "type": "string"},
            _optional("ts_ms", "long"),
            {"name": "source", "type": _SOURCE},
            _optional("transaction", _TRANSACTION),
            {"name": "message", "type": _debezium_record("Message", content)},
        ],
    )


def transaction_key_schema() -> Schema:
    """Return the schema of the key of BEGIN and END records."""
    return _debezium_record("TransactionMetadataKey", [{"name": "id", "type": "string"}], _COMMON)


def transaction_schema() -> Schema:
    """Return the schema of BEGIN and END records: Debezium's, and the number of parts."""
    counted: list[Schema] = [
        {"name": "data_collection", "type": "string"},
        {"name": "event_count", "type": "long"},
    ]
    collections = {"type": "array", "items": _debezium_record("collection", counted, "event")}
    part = _optional(
        "part",
        "int",
        doc="in END, how many Kafka transactions it was split over; null where it was not",
    )
    return _debezium_record(
        "TransactionMetadataValue",
        [
            {"name": "status", "type": "string"},
            {"name": "id", "type": "string"},
            _optional("event_count", "long"),
            _optional("data_collections", collections),
            {"name": "ts_ms", "type": "long"},
            _optional(
                "end_lsn",
                "long",
                doc="in END, the LSN up to which everything is published with this record",
            ),
            _optional("snapshot_range", _range_schema(), doc="in END, the range of a snapshot"),
            part,
        ],
        _COMMON,
    )


def _range_schema() -> Schema:
    """Return the schema of the range of a table that a transaction covers."""
    texts: Schema = {"type": "array", "items": "string"}
    return {
        "type": "record",
        "name": "SnapshotRange",
        "fields": [
            {"name": "table", "type": "string"},
            {"name": "columns", "type": texts},
            _optional("after", texts),
            _optional("upto", texts),
            {"name": "since_lsn", "type": "long"},
        ],
    }


def notification_key_schema() -> Schema:
    """Return the schema of the keys of notifications: Debezium's."""
    return _debezium_record("NotificationKey", [{"name": "id", "type": "string"}], _COMMON)


def notification_schema() -> Schema:
    """Return the schema of notifications: the fields that Debezium's have."""
    texts: list[Schema] = [
        {"name": name, "type": "string"} for name in ("id", "aggregate_type", "type")
    ]
    more = _optional("additional_data", {"type": "map", "values": "string"})
    at: Schema = {"name": "timestamp", "type": "long"}
    return _debezium_record("NotificationValue", [*texts, more, at], _COMMON)


def _debezium_record(name: str, fields: list[Schema], namespace: str | None = None) -> Schema:
    namespace = namespace or _DEBEZIUM
    return {
        "type": "record",
        "name": name,
        "namespace": namespace,
        "fields": fields,
        "connect.version": 1,
        "connect.name": f"{namespace}.{name}",
    }


def _bare(schema: Schema) -> object:
    return schema["type"] if schema.keys() == {"type"} else schema


def _value_field(field: Field) -> Schema:
    typed = {**field.type, "postgres.type": field.postgres_type}
    return _optional(field.name, typed) if field.nullable else {"name": field.name, "type": typed}


def _optional(name: str, schema: object, **more: object) -> Schema:
    return {"name": name, "type": ["null", schema], "default": None, **more}


_DEBEZIUM: Final = "io.debezium.connector.postgresql"
_COMMON: Final = "io.debezium.connector.common"
_SOURCE: Final[Schema] = {
    "type": "record",
    "name": "Source",
    "namespace": _DEBEZIUM,
    "fields": [
        {"name": "version", "type": "string"},
        {"name": "connector", "type": "string"},
        {"name": "name", "type": "string"},
        {"name": "ts_ms", "type": "long"},
        {"name": "snapshot", "type": ["string", "null"], "default": "false"},
        {"name": "db", "type": "string"},
        _optional("sequence", "string"),
        _optional("ts_us", "long"),
        _optional("ts_ns", "long"),
        {"name": "schema", "type": "string"},
        {"name": "table", "type": "string"},
        _optional("txId", "long"),
        _optional("lsn", "long"),
        _optional("xmin", "long"),
        _optional("origin", "string"),
        _optional("origin_lsn", "long"),
        _optional(
            "commit_lsn",
            "long",
            doc="start of the commit record; (commit_lsn, transaction.total_order) orders and"
            " identifies events",
        ),
    ],
    "connect.version": 1,
    "connect.name": f"{_DEBEZIUM}.Source",
}
_TRANSACTION: Final[Schema] = {
    "type": "record",
    "name": "block",
    "namespace": "event",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "total_order", "type": "long"},
        {"name": "data_collection_order", "type": "long"},
    ],
    "connect.version": 1,
    "connect.name": "event.block",
}
