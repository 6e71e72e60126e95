"""Reads Avro schemas: names, references and logical types.

Apache Avro 1.12 specification, "Schema Declaration" and "Logical Types". A logical type that is
unknown is ignored, as the specification says.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from cdc_sidecar_client.errors import SchemaMistaken
from cdc_sidecar_client.payload.nodes import Field, Kind, Node

Json = Any

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FULL_NAME: Final = re.compile(rf"{_NAME.pattern}(\.{_NAME.pattern})*")
_PRIMITIVES: Final = frozenset(
    {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
)
_NAMED: Final = frozenset({"record", "error", "enum", "fixed"})
_UUID_BYTES: Final = 16
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


def full_name(schema: Json, namespace: str = "") -> str:
    """Return the full name of a named type that stands inside `namespace`.

    Raises:
        SchemaMistaken: it has no valid name.

    """
    name = schema.get("name")
    space = schema.get("namespace", namespace)
    if isinstance(name, str) and isinstance(space, str):
        full = _qualified(name, space)
        if _FULL_NAME.fullmatch(full):
            return full
    raise SchemaMistaken(f"a type {schema.get('type')} has no name that is valid in Avro")


def _qualified(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


class Compiler:
    """Compiles one schema. A reference names a type that the schema has defined before it."""

    def __init__(self) -> None:
        self._named: dict[str, Node] = {}

    def compile(  # noqa: PLR0911 - a form of a schema each
        self, schema: Json, namespace: str = ""
    ) -> Node:
        """Return the node of a schema that stands inside `namespace`.

        Raises:
            SchemaMistaken: it is not a schema.

        """
        match schema:
            case str():
                return self._reference(schema, namespace)
            case list():
                return self._union(schema, namespace)
            case {"type": str() as kind} if kind in _NAMED:
                return self._define(schema, namespace)
            case {"type": "array", "items": items}:
                return Node(Kind.ARRAY, ("array",), items=(self.compile(items, namespace),))
            case {"type": "map", "values": values}:
                return Node(Kind.MAP, ("map",), items=(self.compile(values, namespace),))
            case {"type": str() as kind} if kind in _PRIMITIVES:
                return _logical(schema, Node(Kind(kind), (kind,)))
            case {"type": inner}:
                return self.compile(inner, namespace)
            case _:
                raise SchemaMistaken("a type is neither a name nor an object with a type")

    def _reference(self, name: str, namespace: str) -> Node:
        if name in _PRIMITIVES:
            return Node(Kind(name), (name,))
        full = _qualified(name, namespace)
        if full in self._named:
            return self._named[full]
        raise SchemaMistaken(f"type {full} is not defined before it is used")

    def _union(self, branches: list[Json], namespace: str) -> Node:
        items = tuple(self.compile(branch, namespace) for branch in branches)
        if any(item.kind is Kind.UNION for item in items):
            raise SchemaMistaken("a union stands directly inside a union")
        union = Node(Kind.UNION, ("union",), items=items)
        for item in items:
            if all(union.branch(name) is not item for name in item.names):
                raise SchemaMistaken(f"a union has several branches named {item.names[0]}")
        return union

    def _define(self, schema: Json, namespace: str) -> Node:
        full = full_name(schema, namespace)
        if full in self._named:
            raise SchemaMistaken(f"type {full} is defined twice")
        names = tuple(dict.fromkeys((full, full.rpartition(".")[2])))
        kind = Kind.RECORD if schema["type"] == "error" else Kind(schema["type"])
        node = self._named[full] = Node(kind, names)
        if kind is Kind.RECORD:
            self._add_fields(node, schema, full.rpartition(".")[0])
        elif kind is Kind.ENUM:
            node.symbols = _symbols(schema, full)
        else:
            node.size = _size(schema, full)
            _logical(schema, node)
        return node

    def _add_fields(self, node: Node, schema: Json, namespace: str) -> None:
        fields = schema.get("fields")
        if not isinstance(fields, list):
            raise SchemaMistaken(f"{node} has no list of fields")
        for field in fields:
            match field:
                case {"name": str() as name, "type": kind} if _NAME.fullmatch(name):
                    if name in node.fields:
                        raise SchemaMistaken(f"{node} has field {name} twice")
                    inner = self.compile(kind, namespace)
                    node.fields[name] = Field(inner, "default" in field)
                case _:
                    raise SchemaMistaken(f"{node} has a field without a valid name or a type")


def _symbols(schema: Json, name: str) -> tuple[str, ...]:
    symbols = schema.get("symbols")
    if not isinstance(symbols, list) or not all(isinstance(each, str) for each in symbols):
        raise SchemaMistaken(f"enum {name} has no list of symbols")
    return tuple(symbols)


def _size(schema: Json, name: str) -> int:
    size = schema.get("size")
    if type(size) is not int or size < 1:
        raise SchemaMistaken(f"fixed {name} has no size")
    return size


def _logical(schema: Json, node: Node) -> Node:
    """Make a node that of its logical type, if it has one that fits."""
    kind = _LOGICAL.get((schema["type"], str(schema.get("logicalType", ""))))
    if kind is None or (kind is Kind.UUID and node.size not in (0, _UUID_BYTES)):
        return node
    if kind is Kind.DECIMAL:
        node.precision, node.scale = _decimal(schema)
        if node.size and 10**node.precision > 1 << (8 * node.size - 1):
            raise SchemaMistaken(f"fixed {node.names[0]} is too small for its precision")
    node.kind = kind
    return node


def _decimal(schema: Json) -> tuple[int, int]:
    precision, scale = schema.get("precision"), schema.get("scale", 0)
    if type(precision) is int and type(scale) is int and 0 <= scale <= precision > 0:
        return precision, scale
    raise SchemaMistaken("a decimal needs a precision, and a scale from 0 to the precision")
