"""The contract's table of types: the Avro type of each Postgres type, and its operation.

Apache Avro 1.11 "Logical Types"; Kafka Connect's and Debezium's semantic names are carried in
`connect.name`, and Postgres's own name of the type in `postgres.type`.
"""

from dataclasses import dataclass

from cdc_sidecar.config.model import Column
from cdc_sidecar.events import values
from cdc_sidecar.events.binary import encode_bytes
from cdc_sidecar.postgres.types import (
    FIRST_USER_OID,
    Builtin,
    LayoutFacts,
    TypeFacts,
    TypeKind,
    decimal_of,
)

Schema = dict[str, object]
"""An Avro schema of a named or parametrised type, as JSON."""

_CONNECT = "org.apache.kafka.connect.data."
_MONEY = (19, 2)  # precision and scale: 64 bits of hundredths, where the locale has hundredths
_MICRO_TIMESTAMP = "io.debezium.time.MicroTimestamp"
_REFUSED_EXTENSIONS = {"hstore": "hstore", "vector": "pgvector's", "halfvec": "pgvector's"}


class TypeRefused(Exception):
    """A column's type has no Avro form in this version; the message names the type.

    `cure` is what to set in the column's block.
    """

    cure = 'set {block} as = "text"'


class LogicalRefused(TypeRefused):
    """`logical = false` is set for a type that has no logical type."""

    cure = "remove logical = false from {block}"


class IsoRefused(TypeRefused):
    """`as = "iso"` is set for a type that is no instant."""

    cure = 'remove as = "iso" from {block}'


@dataclass(frozen=True, slots=True)
class AvroType:
    """A column's Avro type (without `postgres.type`), and the operation that writes it."""

    schema: Schema
    operation: values.Operation
    refuses: str = ""  # values without an Avro form, for on_error; empty: all have one


def _plain(name: str, operation: values.Operation, connect: str = "", **more: object) -> AvroType:
    schema: Schema = {"type": name, **more}
    if connect:
        schema |= {"connect.name": connect, "connect.version": 1}
    return AvroType(schema, operation)


_STRING = _plain("string", encode_bytes)
_INT = _plain("int", values.encode_integer)
_SMALLINT = AvroType({"type": "int", "connect.type": "int16"}, values.encode_integer)
_ISO_TIMESTAMPTZ = _plain(
    "string", values.encode_timestamptz_iso, "io.debezium.time.ZonedTimestamp"
)
_LONG = _plain("long", values.encode_integer)
_JSON = _plain("string", encode_bytes, "io.debezium.data.Json")
_OVERFLOW = "years 294247 to 294276"

_BUILTIN = {
    Builtin.BOOL: _plain("boolean", values.encode_boolean),
    Builtin.BYTEA: _plain("bytes", values.encode_bytea),
    Builtin.INT2: _SMALLINT,
    Builtin.INT4: _INT,
    Builtin.INT8: _LONG,
    Builtin.OID: _LONG,
    Builtin.XID: _LONG,
    Builtin.CID: _LONG,
    Builtin.JSON: _JSON,
    Builtin.JSONB: _JSON,
    Builtin.FLOAT4: _plain("float", values.encode_float4),
    Builtin.FLOAT8: _plain("double", values.encode_float8),
    Builtin.DATE: _plain("int", values.encode_date, logicalType="date"),
    Builtin.TIME: _plain(
        "long", values.encode_time, "io.debezium.time.MicroTime", logicalType="time-micros"
    ),
    Builtin.TIMETZ: _plain("string", values.encode_timetz, "io.debezium.time.ZonedTime"),
    Builtin.TIMESTAMP: AvroType(
        _plain(
            "long",
            values.encode_timestamp,
            _MICRO_TIMESTAMP,
            logicalType="local-timestamp-micros",
        ).schema,
        values.encode_timestamp,
        _OVERFLOW,
    ),
    Builtin.TIMESTAMPTZ: AvroType(
        # Debezium's MicroTimestamp means a time without zone: sinks would shift the instant
        _plain("long", values.encode_timestamptz, logicalType="timestamp-micros").schema,
        values.encode_timestamptz,
        _OVERFLOW,
    ),
    Builtin.INTERVAL: _plain("string", encode_bytes, "io.debezium.time.Interval"),
    Builtin.UUID: _plain("string", encode_bytes, "io.debezium.data.Uuid", logicalType="uuid"),
}


def map_column(facts: TypeFacts | None, config: Column, layout: LayoutFacts) -> AvroType:
    """Return the Avro type of a column as configured.

    Raises:
        TypeRefused: the type has no form in this version and is not sent as text.

    """
    if config.mask == "hash":
        return AvroType(_STRING.schema, values.encode_hash)
    if config.as_ == "text":
        return _STRING
    if facts is None:
        message = "a type that the catalog no longer has"
        raise TypeRefused(message)
    if config.as_ == "iso":
        return _map_iso(facts)
    avro = map_type(facts, layout.money_scale)
    if config.logical:
        return avro
    if "logicalType" not in avro.schema or avro.schema["type"] not in ("int", "long"):
        message = f"{facts.name} with logical = false, which only dates and times can have"
        raise LogicalRefused(message)
    schema = {key: value for key, value in avro.schema.items() if key != "logicalType"}
    return AvroType(schema, avro.operation, avro.refuses)


def _map_iso(facts: TypeFacts) -> AvroType:
    base = facts
    while base.kind is TypeKind.DOMAIN and base.base:
        base = base.base
    if base.oid != Builtin.TIMESTAMPTZ.value:
        message = f'{facts.name} with as = "iso", which only timestamptz can have'
        raise IsoRefused(message)
    return _ISO_TIMESTAMPTZ


def map_type(facts: TypeFacts, money_scale: int) -> AvroType:
    """Return the Avro type of a Postgres type.

    Raises:
        TypeRefused: the type has no form in this version.

    """
    match facts.kind:
        case TypeKind.DOMAIN if facts.base:
            return map_type(facts.base, money_scale)
        case TypeKind.ARRAY if facts.base:
            return _map_array(facts.base, money_scale)
        case TypeKind.COMPOSITE:
            message = f"composite type {facts.name}"
            raise TypeRefused(message)
        case _:
            return _map_scalar(facts, money_scale)


def _map_scalar(facts: TypeFacts, money_scale: int) -> AvroType:
    if facts.oid >= FIRST_USER_OID:
        if facts.typname in _REFUSED_EXTENSIONS and facts.kind is TypeKind.BASE:
            message = f"{_REFUSED_EXTENSIONS[facts.typname]} type {facts.name}"
            raise TypeRefused(message)
        return _STRING
    return _map_builtin(facts, money_scale)


def _map_builtin(facts: TypeFacts, money_scale: int) -> AvroType:
    if facts.oid == Builtin.NUMERIC.value:
        return _map_numeric(facts)
    if facts.oid == Builtin.MONEY.value:
        return _decimal(*_MONEY, values.encode_money) if money_scale == _MONEY[1] else _STRING
    try:
        return _BUILTIN[Builtin(facts.oid)]
    except (KeyError, ValueError):
        return _STRING


def _map_numeric(facts: TypeFacts) -> AvroType:
    decimal = decimal_of(facts.type_modifier)
    if decimal is None or not 0 <= decimal[1] <= decimal[0]:
        return _STRING
    avro = _decimal(*decimal, values.decimal_operation(decimal[1]))
    return AvroType(avro.schema, avro.operation, "NaN and the infinities")


def _decimal(precision: int, scale: int, operation: values.Operation) -> AvroType:
    schema: Schema = {
        "type": "bytes",
        "logicalType": "decimal",
        "precision": precision,
        "scale": scale,
        "connect.name": _CONNECT + "Decimal",
        "connect.version": 1,
        "connect.parameters": {
            "scale": str(scale),
            "connect.decimal.precision": str(precision),
        },
    }
    return AvroType(schema, operation)


def _map_array(element: TypeFacts, money_scale: int) -> AvroType:
    item = map_type(element, money_scale)
    bare = item.schema["type"] if item.schema.keys() == {"type"} else item.schema
    refuses = "arrays of several dimensions or odd bounds"
    return AvroType(
        {"type": "array", "items": ["null", bare]},
        values.array_operation(item.operation, element.delimiter),
        f"{refuses}; {item.refuses}" if item.refuses else refuses,
    )
