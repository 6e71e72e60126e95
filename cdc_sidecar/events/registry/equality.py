"""Equality of Avro schemas, whatever library has printed them.

A client does not send a schema as it received it: it parses the schema and prints it again. The
order of keys, the place of a namespace and the spelling of a plain type may then differ (Apache
Avro 1.11 specification, "Schema Declaration" and "Names"). All else is part of the schema.
"""

import json
from typing import Any, Final

from cdc_sidecar.events.schema import canonical_json

_PRIMITIVE: Final = frozenset(
    ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
)
_NAMED: Final = ("record", "error", "enum", "fixed")
_NOTHING: Final[tuple[object, ...]] = (None, [])  # as `doc` and `aliases`


def resolve(text: str) -> str:
    """Return the spelling of a schema in which every name is in full.

    Raises:
        ValueError: the text is not JSON, or not a schema.

    """
    try:
        return canonical_json(_Resolver().resolve(json.loads(text), ""))
    except (KeyError, TypeError, RecursionError) as error:
        message = "not an Avro schema"
        raise ValueError(message) from error


class _Resolver:
    """Resolves the names of one schema."""

    def __init__(self) -> None:
        self._defined: set[str] = set()

    def resolve(self, schema: Any, namespace: str) -> object:  # noqa: ANN401 - JSON
        """Return a schema that occurs inside `namespace`, with full names alone."""
        match schema:
            case str():
                return self._reference(schema, namespace)
            case list():
                return [self.resolve(branch, namespace) for branch in schema]
            case {"type": kind} if kind in _NAMED:
                return self._named(schema, namespace)
            case {"type": "array", "items": items}:
                return {**schema, "items": self.resolve(items, namespace)}
            case {"type": "map", "values": values}:
                return {**schema, "values": self.resolve(values, namespace)}
            case {"type": kind}:
                return _plain({**schema, "type": self.resolve(kind, namespace)})
            case _:
                raise TypeError

    def _reference(self, name: str, namespace: str) -> str:
        if name in _PRIMITIVE:
            return name
        full = _full_name(name, namespace)
        if full not in self._defined:
            message = f"undefined name: {full}"
            raise ValueError(message)
        return full

    def _named(self, schema: dict[str, Any], namespace: str) -> object:
        own = schema.get("namespace")
        full = _full_name(schema["name"], namespace if own is None else own)
        self._defined.add(full)
        inner = full.rpartition(".")[0]
        resolved = _without_nothing({**schema, "name": full})
        resolved.pop("namespace", None)
        if "aliases" in resolved:
            resolved["aliases"] = [_full_name(alias, inner) for alias in schema["aliases"]]
        if "fields" in schema or schema["type"] in ("record", "error"):
            resolved["fields"] = [self._field(field, inner) for field in schema["fields"]]
        return resolved

    def _field(self, field: dict[str, Any], namespace: str) -> object:
        resolved = _without_nothing({**field, "type": self.resolve(field["type"], namespace)})
        if resolved.get("order") == "ascending":  # the default
            del resolved["order"]
        return resolved


def _plain(schema: dict[str, object]) -> object:
    """Return a type without properties by its name alone."""
    return schema["type"] if schema.keys() == {"type"} else schema


def _without_nothing(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a record or a field without empty documentation and aliases."""
    return {
        key: value
        for key, value in schema.items()
        if key not in ("doc", "aliases") or value not in _NOTHING
    }


def _full_name(name: str, namespace: str) -> str:
    return f"{namespace}.{name}" if namespace and "." not in name else name
