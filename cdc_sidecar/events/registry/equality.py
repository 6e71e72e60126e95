"""Equality of Avro schemas, whatever library has printed them.

A library prints a schema that it has parsed in its own way: names with or without their namespace,
types as a string or as an object, attributes in another order. Apache Avro 1.11 specification,
"Names".
"""

import json

_NESTED = ("items", "values")
_NAMED = ("record", "enum", "fixed", "error")


def resolve(text: str) -> object:
    """Return a schema with every name in full, as a value that can be compared.

    Raises:
        ValueError: the text is not JSON, or not a schema.

    """
    try:
        return _resolve(json.loads(text), "")
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        message = "not an Avro schema"
        raise ValueError(message) from error


def _resolve(schema: object, namespace: str) -> object:
    match schema:
        case str():
            return _full_name(schema, namespace)
        case list():
            return [_resolve(branch, namespace) for branch in schema]
        case {"type": kind, **rest} if kind in _NAMED:
            return _resolve_named(str(kind), {str(key): rest[key] for key in rest}, namespace)
        case {"type": kind, **rest}:
            resolved = {
                key: _resolve(value, namespace) if key in _NESTED else value
                for key, value in rest.items()
            }
            plain = _resolve(kind, namespace)
            return {**resolved, "type": plain} if resolved else plain
        case _:
            raise TypeError


def _resolve_named(kind: str, schema: dict[str, object], namespace: str) -> object:
    name = str(schema.pop("name"))
    own = schema.pop("namespace", None)
    full = name if "." in name else _join(namespace if own is None else str(own), name)
    resolved: dict[str, object] = {**schema, "type": kind, "name": full}
    fields = schema.get("fields")
    if isinstance(fields, list):
        inner = full.rpartition(".")[0]
        resolved["fields"] = [{**each, "type": _resolve(each["type"], inner)} for each in fields]
    return resolved


_PRIMITIVE = frozenset(
    {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
    | {"array", "map"}  # they name the kind of an object
)


def _full_name(name: str, namespace: str) -> str:
    return name if name in _PRIMITIVE or "." in name else _join(namespace, name)


def _join(namespace: str, name: str) -> str:
    return f"{namespace}.{name}" if namespace else name
