"""Turns an event into the JSON of its schema, which the sidecar then encodes to the same value.

Apache Avro 1.12 specification, "JSON Encoding", with plain values too: the value of a union is
tagged with its branch only where the plain one would not say which branch it is.
"""

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

from cdc_sidecar_client.payload.misfit import Misfit
from cdc_sidecar_client.payload.nodes import Kind, Node
from cdc_sidecar_client.payload.objects import (
    is_array,
    is_instance_with_fields,
    kind_of,
    members_of,
    unwrap,
)
from cdc_sidecar_client.payload.scalars import OWN_TYPES, SCALARS

Value = Any
Json = Any

_MAX_DEPTH: Final = 64
"""Objects and arrays inside each other that the sidecar reads."""
_LONGEST_NAME: Final = 100  # characters: an unknown name can be anything


def encode(node: Node, value: Value) -> Json:
    """Return the JSON of an event.

    Raises:
        Misfit: the event does not fit; the error has the path.

    """
    try:
        tree = _encode(node, value)
    except RecursionError:
        raise _too_deep() from None
    _check_depth(tree)
    return tree


def spell(tree: Json) -> str:
    """Return JSON as text, whose numbers are exact."""
    return json.dumps(tree, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _encode(node: Node, value: Value) -> Json:
    value = unwrap(value)
    match node.kind:
        case Kind.UNION:
            return _encode_union(node, value)
        case Kind.RECORD:
            return _encode_record(node, value)
        case Kind.ARRAY:
            return list(_encode_items(node, value))
        case Kind.MAP:
            return dict(_encode_members(node, value))
        case Kind.ENUM:
            return SCALARS[node.kind](node, value)
        case _:
            return SCALARS[node.kind](node, value.value if isinstance(value, Enum) else value)


def _encode_record(node: Node, value: Value) -> Json:
    members = _members(node, value)
    for name in members:
        if name not in node.fields:
            raise Misfit(f"is not a field of {node}").inside(_step(name))
    encoded = {}
    for name, field in node.fields.items():
        if name in members:
            encoded[name] = _inside(_step(name), field.node, members[name])
        elif not field.has_default:
            raise Misfit("is missing and has no default").inside(_step(name))
    return encoded


def _inside(step: str, node: Node, value: Value) -> Json:
    """Encode a part of a value; an error has the step that leads to it."""
    try:
        return _encode(node, value)
    except Misfit as error:
        raise error.inside(step) from None


def _step(name: object) -> str:
    """Return a step of a path; a name that is not a plain one is not shown."""
    plain = isinstance(name, str) and name.isidentifier() and len(name) <= _LONGEST_NAME
    return f".{name}" if plain else "[a name]"


def _members(node: Node, value: Value) -> Mapping[Any, Value]:
    members = members_of(value)
    if members is None:
        raise Misfit(f"is {kind_of(value)}, but the schema has {node}")
    return members


def _encode_items(node: Node, value: Value) -> Iterator[Json]:
    if not is_array(value):
        raise Misfit(f"is {kind_of(value)}, but the schema has {node}")
    (inner,) = node.items
    for number, item in enumerate(value):
        yield _inside(f"[{number}]", inner, item)


def _encode_members(node: Node, value: Value) -> Iterator[tuple[str, Json]]:
    (inner,) = node.items
    for number, (key, item) in enumerate(_members(node, value).items()):
        step = f"[member {number}]"
        yield _inside(step, _KEY, key), _inside(step, inner, item)


_KEY: Final = Node(Kind.STRING, ("string",))


# --- unions


def _encode_union(node: Node, value: Value) -> Json:
    branch, inner = _choose(node, value)
    encoded = _encode(branch, inner)
    if branch.kind is Kind.NULL:
        return encoded
    others = [item for item in node.items if item.kind is not Kind.NULL]
    if len(others) == 1 and not _looks_tagged(node, encoded):
        return encoded
    return {node.tag(branch): encoded}


def _looks_tagged(node: Node, encoded: Json) -> bool:
    return (
        isinstance(encoded, dict) and len(encoded) == 1 and bool(node.branch(next(iter(encoded))))
    )


def _choose(node: Node, value: Value) -> tuple[Node, Value]:
    """Return the branch of a value, and the value without its tag."""
    if isinstance(value, Mapping) and len(value) == 1:
        ((tag, inner),) = value.items()
        tagged = node.branch(tag)
        if tagged is not None:
            return tagged, inner
    for fits in (_is_named, _is_own, _fits):
        for branch in node.items:
            if fits(branch, value):
                return branch, value
    others = [branch for branch in node.items if branch.kind is not Kind.NULL]
    if value is None or len(others) != 1:
        raise Misfit(f"is {kind_of(value)}, which fits no branch of {node}")
    return others[0], value


def _is_named(branch: Node, value: Value) -> bool:
    """Return whether the class of a value has the name of a record."""
    return (
        branch.kind is Kind.RECORD
        and is_instance_with_fields(value)
        and type(value).__name__ == branch.names[-1]
    )


def _is_own(branch: Node, value: Value) -> bool:
    """Return whether a value has a Python type of this branch, and fits it."""
    if isinstance(value, Enum) and branch.kind is not Kind.ENUM:
        value = value.value
    return isinstance(value, OWN_TYPES.get(branch.kind, object)) and _fits(branch, value)


def _fits(branch: Node, value: Value) -> bool:
    """Return whether a value fits a branch; of an object and an array, only what is outside."""
    match branch.kind:
        case Kind.RECORD:
            members = members_of(value)
            return members is not None and _has_fields(branch, members)
        case Kind.MAP:
            return isinstance(value, Mapping)
        case Kind.ARRAY:
            return is_array(value)
        case _:
            return _is_accepted(branch, value)


def _is_accepted(node: Node, value: Value) -> bool:
    try:
        _encode(node, value)
    except Misfit:
        return False
    return True


def _has_fields(node: Node, members: Mapping[Any, Value]) -> bool:
    needed = {name for name, field in node.fields.items() if not field.has_default}
    return needed <= members.keys() <= node.fields.keys()


# --- depth


def _check_depth(tree: Json) -> None:
    level = [tree]
    for _ in range(_MAX_DEPTH):
        level = [item for outer in level for item in _containers(outer)]
        if not level:
            return
    raise _too_deep()


def _containers(outer: Json) -> list[Json]:
    """Return the objects and arrays in an object or an array."""
    if not isinstance(outer, dict | list):
        return []
    inner = outer.values() if isinstance(outer, dict) else outer
    return [item for item in inner if isinstance(item, dict | list)]


def _too_deep() -> Misfit:
    return Misfit(f"is nested more than {_MAX_DEPTH} levels deep")
