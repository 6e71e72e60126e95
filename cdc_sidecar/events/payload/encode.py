"""Encodes a payload by its plan: plain Python, and the definition of `_payload.pyx`.

Apache Avro 1.12 specification, "Binary Encoding". The JSON is Avro's ("JSON Encoding") with plain
values too: a union's value may be tagged with its branch, or not; a field may be missing if it has
a default; decimals, dates, times and uuids may be texts.
"""

from collections.abc import Iterator
from typing import Any

from cdc_sidecar.events.binary import encode_array, encode_long
from cdc_sidecar.events.payload.json_text import (
    Number,
    Object,
    PayloadMisfit,
    kind_of,
    parse_payload,
)
from cdc_sidecar.events.payload.nodes import Field, Kind, Node
from cdc_sidecar.events.payload.scalars import SCALARS, describe


def encode_payload(node: Node, text: bytes) -> bytes:
    """Return the Avro bytes of a payload.

    Raises:
        PayloadMisfit: the text is not JSON, or it does not fit; the error has the path.

    """
    return _encode(node, parse_payload(text))


def encode_default(node: Node, text: bytes) -> bytes:
    """Return the Avro bytes of a default, in whose JSON no union is tagged.

    Raises:
        PayloadMisfit: as in `encode_payload`.

    """
    return _encode(node, _Untagged.of(parse_payload(text)))


class _Untagged(Object):
    """An object of a default: its only member is never a tag."""

    @classmethod
    def of(cls, value: Any) -> Any:  # noqa: ANN401 - JSON
        """Return a value with its objects as such ones."""
        if isinstance(value, Object):
            made = cls({name: cls.of(item) for name, item in value.items()})
            made.repeated = value.repeated
            return made
        return [cls.of(item) for item in value] if isinstance(value, list) else value


class PayloadEncoder:
    """Encodes the payloads of one schema; see `ports.PayloadEncoder`."""

    def __init__(self, plan: Node) -> None:
        self._plan = plan

    def encode(self, text: bytes) -> bytes:
        """Return the Avro bytes of a payload."""
        return encode_payload(self._plan, text)


def _encode(node: Node, value: Any) -> bytes:  # noqa: ANN401 - JSON
    match node.kind:
        case Kind.RECORD:
            return _encode_record(node, value)
        case Kind.UNION:
            return _encode_union(node, value)
        case Kind.ARRAY:
            return encode_array(list(_encode_items(node, value)))
        case Kind.MAP:
            return encode_array(list(_encode_members(node, value)))
        case _:
            return SCALARS[node.kind](node, value)


def _encode_record(node: Node, value: Any) -> bytes:  # noqa: ANN401 - JSON
    members = _members(node, value)
    unknown = members.keys() - {field.name for field in node.fields}
    if unknown:
        name = next(name for name in members if name in unknown)
        raise PayloadMisfit(f"is not a field of {describe(node)}").inside(_step(name))
    return b"".join([_encode_field(field, members) for field in node.fields])


def _encode_field(field: Field, members: Object) -> bytes:
    if field.name not in members:
        if field.default is None:
            raise PayloadMisfit("is missing and has no default").inside(_step(field.name))
        return field.default
    try:
        return _encode(field.node, members[field.name])
    except PayloadMisfit as error:
        raise error.inside(_step(field.name)) from None


def _members(node: Node, value: Any) -> Object:  # noqa: ANN401 - JSON
    if not isinstance(value, Object):
        raise PayloadMisfit(f"is {kind_of(value)}, but the schema has {describe(node)}")
    if value.repeated is not None:
        raise PayloadMisfit("has a member more than once")
    return value


def _step(name: str) -> str:
    """Return a step of a path; a name that is not a plain one is not shown."""
    return f".{name}" if name.isidentifier() and len(name) <= _LONGEST_NAME else "[a name]"


_LONGEST_NAME = 100  # characters: the name of a field that is unknown can be anything


def _encode_items(node: Node, value: Any) -> Iterator[bytes]:  # noqa: ANN401 - JSON
    if not isinstance(value, list):
        raise PayloadMisfit(f"is {kind_of(value)}, but the schema has {describe(node)}")
    (inner,) = node.items
    for number, item in enumerate(value):
        try:
            yield _encode(inner, item)
        except PayloadMisfit as error:
            raise error.inside(f"[{number}]") from None


def _encode_members(node: Node, value: Any) -> Iterator[bytes]:  # noqa: ANN401 - JSON
    (inner,) = node.items
    for number, (key, item) in enumerate(_members(node, value).items()):
        try:
            yield SCALARS[Kind.STRING](_KEY, key) + _encode(inner, item)
        except PayloadMisfit as error:
            raise error.inside(f"[member {number}]") from None


_KEY = Node(Kind.STRING, ("string",))


def _encode_union(node: Node, value: Any) -> bytes:  # noqa: ANN401 - JSON
    place, value = _choose(node, value)
    return encode_long(place) + _encode(node.items[place], value)


def _choose(node: Node, value: Any) -> tuple[int, Any]:  # noqa: ANN401 - JSON
    """Return the place of a union's branch, and the value without its tag."""
    if isinstance(value, Object) and len(value) == 1 and not isinstance(value, _Untagged):
        ((tag, inner),) = value.items()
        for place, branch in enumerate(node.items):
            if tag in branch.names:
                return place, inner
    for place, branch in enumerate(node.items):
        if _fits(branch, value):
            return place, value
    others = [place for place, branch in enumerate(node.items) if branch.kind is not Kind.NULL]
    if value is None or len(others) != 1:
        raise PayloadMisfit(f"is {kind_of(value)}, which fits no branch of {describe(node)}")
    return others[0], value


def _fits(node: Node, value: Any) -> bool:  # noqa: ANN401 - JSON
    """Return whether a value fits a branch; of an object and an array, only what is outside."""
    match node.kind:
        case Kind.RECORD:
            return isinstance(value, Object) and _has_fields(node, value)
        case Kind.MAP:
            return isinstance(value, Object)
        case Kind.ARRAY:
            return isinstance(value, list)
        case Kind.FLOAT | Kind.DOUBLE if not isinstance(value, Number):
            return False
        case _:
            return _is_accepted(node, value)


def _has_fields(node: Node, value: Object) -> bool:
    needed = {field.name for field in node.fields if field.default is None}
    return needed <= value.keys() <= {field.name for field in node.fields}


def _is_accepted(node: Node, value: Any) -> bool:  # noqa: ANN401 - JSON
    try:
        SCALARS[node.kind](node, value)
    except PayloadMisfit:
        return False
    return True
