"""Compiles the schema of a payload into a plan.

Apache Avro 1.12 specification, "Schema Declaration" and "Logical Types". A logical type that is
unknown is ignored, as the specification says.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from fastavro.schema import SchemaParseException, UnknownType, parse_schema

from cdc_sidecar.events.payload.encode import encode_default
from cdc_sidecar.events.payload.json_text import PayloadMisfit
from cdc_sidecar.events.payload.nodes import Field, Kind, Node

_UUID_BYTES: Final = 16
_ABSENT: Final = object()
_LOGICAL: Final[Mapping[tuple[str, str], Kind]] = {
    ("bytes", "decimal"): Kind.DECIMAL,
    ("fixed", "decimal"): Kind.DECIMAL,
    ("string", "uuid"): Kind.UUID,
    ("fixed", "uuid"): Kind.UUID,
    ("int", "date"): Kind.DATE,
    ("int", "time-millis"): Kind.TIME_MILLIS,
    ("long", "time-micros"): Kind.TIME_MICROS,
    ("long", "timestamp-millis"): Kind.TIMESTAMP_MILLIS,
    ("long", "timestamp-micros"): Kind.TIMESTAMP_MICROS,
    ("long", "timestamp-nanos"): Kind.TIMESTAMP_NANOS,
    ("long", "local-timestamp-millis"): Kind.LOCAL_TIMESTAMP_MILLIS,
    ("long", "local-timestamp-micros"): Kind.LOCAL_TIMESTAMP_MICROS,
    ("long", "local-timestamp-nanos"): Kind.LOCAL_TIMESTAMP_NANOS,
}


class SchemaMistaken(ValueError):
    """A text is not an Avro schema; the message says why."""


@lru_cache(maxsize=1000)
def compile_payload(text: str) -> Node:
    """Return the plan of a schema, whose outer type is a record.

    The configuration is looked at by many, so the plan of each text is kept.

    Raises:
        SchemaMistaken: the text is not such a schema, or a default does not fit its field.

    """
    schema = _checked(text)
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise SchemaMistaken("the outer type is not a record")
    return _compile(schema)


def _compile(schema: Any) -> Node:  # noqa: ANN401 - JSON
    plain = _Compiler(logical=False)
    plain.compile(schema)
    plain.set_defaults(plain)
    compiler = _Compiler(logical=True)
    node = compiler.compile(schema)
    compiler.set_defaults(plain)
    return node


def _checked(text: str) -> Any:  # noqa: ANN401 - JSON
    """Return a schema with full names.

    Apache's library checks names and unions, and fastavro the types of defaults.
    """
    import avro.errors  # noqa: PLC0415 - only outboxes with schemas need the library
    import avro.schema  # noqa: PLC0415 - as above

    try:
        schema = json.loads(text)
        with warnings.catch_warnings(action="ignore"):  # a logical type is ignored
            avro.schema.parse(text)
        return parse_schema(schema, _write_hint=False)
    except UnknownType as error:
        raise SchemaMistaken(f"undefined type: {error.name}") from None
    except (avro.errors.AvroException, SchemaParseException, ValueError) as error:
        raise SchemaMistaken(str(error)) from None
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise SchemaMistaken("not an Avro schema") from None


class _Compiler:
    """Compiles one schema, whose names are full, with or without its logical types."""

    def __init__(self, *, logical: bool) -> None:
        self._is_logical = logical
        self._named: dict[str, Node] = {}
        self._defaults: dict[str, list[Any]] = {}  # of a record's fields, by its name

    def compile(self, schema: Any) -> Node:  # noqa: ANN401 - JSON
        """Return the node of a schema."""
        match schema:
            case str():
                return self._named.get(schema) or Node(Kind[schema.upper()], (schema,))
            case list():
                branches = tuple(self.compile(branch) for branch in schema)
                return Node(Kind.UNION, ("union",), items=branches)
            case {"type": str() as name}:
                return self._named.get(name) or self._complex(schema)
            case _:
                return self.compile(schema["type"])

    def _complex(self, schema: Mapping[str, Any]) -> Node:
        match schema["type"]:
            case "record" | "error":
                return self._record(schema)
            case "enum":
                return self._name(schema, Node(Kind.ENUM, (), symbols=tuple(schema["symbols"])))
            case "array":
                return Node(Kind.ARRAY, ("array",), items=(self.compile(schema["items"]),))
            case "map":
                return Node(Kind.MAP, ("map",), items=(self.compile(schema["values"]),))
            case "fixed":
                node = Node(Kind.FIXED, (), size=schema["size"])
                return self._name(schema, self._logical(schema, node))
            case name:
                return self._logical(schema, Node(Kind[name.upper()], (name,)))

    def _name(self, schema: Mapping[str, Any], node: Node) -> Node:
        """Give a node the names of its type."""
        full = schema["name"]
        node.names = tuple(dict.fromkeys((full, full.rpartition(".")[2])))
        self._named[full] = node
        return node

    def _record(self, schema: Mapping[str, Any]) -> Node:
        node = self._name(schema, Node(Kind.RECORD, ()))
        fields = schema["fields"]
        nodes = [self.compile(field["type"]) for field in fields]
        node.fields = [
            Field(field["name"], inner) for field, inner in zip(fields, nodes, strict=True)
        ]
        self._defaults[node.name] = [field.get("default", _ABSENT) for field in fields]
        return node

    def _logical(self, schema: Mapping[str, Any], node: Node) -> Node:
        """Make a node that of its logical type, if it has one that fits."""
        kind = _LOGICAL.get((schema["type"], schema.get("logicalType", "")))
        if not self._is_logical or kind is None:
            return node
        if kind is Kind.UUID and node.size not in (0, _UUID_BYTES):
            return node
        if kind is Kind.DECIMAL:
            node.precision, node.scale = schema.get("precision", 0), schema.get("scale", 0)
            if not _is_decimal(node):
                return node
        node.kind = kind
        return node

    def set_defaults(self, plain: "_Compiler") -> None:
        """Encode the defaults of all fields by `plain`, in which no type is logical.

        A default is the JSON of the underlying type: that of a decimal is the text of its bytes.
        The default of a record may lack fields that have defaults, so those are encoded first,
        whatever the order of the types: a turn without progress ends with the error.
        """
        open_, failed = list(self._fields(plain)), None
        while open_:
            left = []
            for name, field, underlying, default in open_:
                try:
                    field.default = _encode_default(name, underlying, default)
                except SchemaMistaken as error:
                    left.append((name, field, underlying, default))
                    failed = error
            if failed and len(left) == len(open_):
                raise failed
            open_ = left

    def _fields(self, plain: "_Compiler") -> Iterator[tuple[str, Field, Field, Any]]:
        """Yield each field with a default: its name, it, its twin without logical types."""
        for name, node in self._named.items():
            twins = plain._named[name].fields  # noqa: SLF001 - of this class
            for number, field in enumerate(node.fields):
                default = self._defaults[name][number]
                if default is not _ABSENT:
                    yield f"{name}.{field.name}", field, twins[number], default


def _encode_default(name: str, field: Field, default: Any) -> bytes:  # noqa: ANN401 - JSON
    text = json.dumps(default).encode()
    try:
        return encode_default(field.node, text)
    except PayloadMisfit as error:
        raise SchemaMistaken(f"the default of {name} does not fit: {error.reason}") from None


def _is_decimal(node: Node) -> bool:
    """Return whether precision and scale are valid, and whether a fixed holds the precision."""
    numbers = (node.precision, node.scale)
    if not all(type(number) is int for number in numbers) or not 0 <= node.scale <= node.precision:
        return False
    largest = 10**node.precision - 1
    return node.precision > 0 and (not node.size or largest < 1 << (8 * node.size - 1))
