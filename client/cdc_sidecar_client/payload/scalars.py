"""Values that are neither objects nor arrays in JSON.

Each function takes the type and a Python value, and returns the JSON that the sidecar encodes to
the same value: exactly, except that a number is rounded to a float or a double once.
"""

import math
import re
import struct
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from cdc_sidecar_client.payload.misfit import Misfit
from cdc_sidecar_client.payload.moments import MOMENTS
from cdc_sidecar_client.payload.nodes import Kind, Node
from cdc_sidecar_client.payload.objects import kind_of

Value = Any
Scalar = str | int | float | bool | None

_DECIMAL: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NOT_FINITE: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_LONGEST_DECIMAL: Final = 2_000
"""Characters of a decimal that the sidecar reads."""
_INTS: Final = range(-(2**31), 2**31)
_LONGS: Final = range(-(2**63), 2**63)
_DAY: Final = {Kind.TIME_MILLIS: 86_400_000, Kind.TIME_MICROS: 86_400_000_000}


def _wrong(node: Node, value: Value) -> Misfit:
    return Misfit(f"is {kind_of(value)}, but the schema has {node}")


def _null(node: Node, value: Value) -> None:
    if value is not None:
        raise _wrong(node, value)


def _boolean(node: Node, value: Value) -> bool:
    if not isinstance(value, bool):
        raise _wrong(node, value)
    return value


def _is_integer(value: Value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _integer(node: Node, value: Value, numbers: range) -> int:
    if isinstance(value, float | Decimal):
        raise Misfit(f"has a fraction or an exponent, but the schema has {node}")
    if not _is_integer(value):
        raise _wrong(node, value)
    if value not in numbers:
        raise Misfit(f"is out of the range of {node}")
    return int(value)


def _int(node: Node, value: Value) -> int:
    return _integer(node, value, _INTS)


def _long(node: Node, value: Value) -> int:
    return _integer(node, value, _LONGS)


def _floating(node: Node, value: Value) -> float | str:
    """Return a number; one that is not finite is a text, because JSON has none."""
    if isinstance(value, str) and value in _NOT_FINITE:
        return value
    if not (_is_integer(value) or isinstance(value, float | Decimal)):
        raise _wrong(node, value)
    try:
        number = float(value)
        struct.pack("<f" if node.kind is Kind.FLOAT else "<d", number)
    except (OverflowError, ValueError):
        raise Misfit(f"is out of the range of {node}") from None
    if math.isfinite(number):
        return number
    if isinstance(value, Decimal) and value.is_finite():
        raise Misfit(f"is out of the range of {node}")
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _string(node: Node, value: Value) -> str:
    if isinstance(value, UUID):
        return str(value)
    if not isinstance(value, str):
        raise _wrong(node, value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Misfit("has half of a surrogate pair, which no UTF-8 can hold") from None
    return str(value)


def _bytes(node: Node, value: Value) -> str:
    """Return bytes as Avro's JSON spells them: a character for each byte."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("latin-1")
    if not isinstance(value, str):
        raise _wrong(node, value)
    if value and max(value) > "\u00ff":
        raise Misfit("has a character above U+00FF, which is no byte")
    return str(value)


def _fixed(node: Node, value: Value) -> str:
    text = _bytes(node, value)
    if len(text) != node.size:
        raise Misfit(f"has {len(text)} bytes, but {node} has {node.size}")
    return text


def _enum(node: Node, value: Value) -> str:
    """Return a symbol; of a member of a Python enum, the value or else the name."""
    names = [value.value, value.name] if isinstance(value, Enum) else [value]
    if not any(isinstance(name, str) for name in names):
        raise _wrong(node, value)
    for name in names:
        if isinstance(name, str) and name in node.symbols:
            return str(name)
    raise Misfit(f"is not a symbol of {node}: {', '.join(node.symbols)}")


def _decimal(node: Node, value: Value) -> str:
    if isinstance(value, float):
        raise Misfit(f"is a float, which is not exact: give {node} a Decimal, an int or a text")
    if not (isinstance(value, str | Decimal) or _is_integer(value)):
        raise _wrong(node, value)
    if _is_integer(value) and abs(value) >= 10**node.precision:  # str() of an int has a limit
        raise Misfit(f"has more digits than {node}")
    text = str(value)
    if len(text) > _LONGEST_DECIMAL or not _DECIMAL.fullmatch(text):
        raise Misfit(f"does not spell a number of {node}")
    _check_digits(node, Decimal(text))
    return text


def _check_digits(node: Node, number: Decimal) -> None:
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 - the text spells a finite number
    significant = "".join(map(str, digits)).strip("0")
    if not significant:
        return
    trailing = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    if exponent + trailing < -node.scale:
        raise Misfit(f"has more fraction digits than {node}")
    if number.adjusted() >= node.precision - node.scale:
        raise Misfit(f"has more digits than {node}")


def _uuid(node: Node, value: Value) -> str:
    if isinstance(value, UUID):
        return str(value)
    if not isinstance(value, str):
        raise _wrong(node, value)
    if not _UUID.fullmatch(value):
        raise Misfit("is not the text of a uuid")
    return str(value)


def _moment(node: Node, value: Value) -> int | str:
    """Return a text of ISO 8601, or the number of days or of units since the epoch or midnight."""
    if not _is_integer(value):
        return MOMENTS[node.kind](node, value)
    if node.kind in _DAY:
        return _integer(node, value, range(_DAY[node.kind]))
    return _int(node, value) if node.kind is Kind.DATE else _long(node, value)


SCALARS: Final[dict[Kind, Callable[[Node, Value], Scalar]]] = {
    Kind.NULL: _null,
    Kind.BOOLEAN: _boolean,
    Kind.INT: _int,
    Kind.LONG: _long,
    Kind.FLOAT: _floating,
    Kind.DOUBLE: _floating,
    Kind.BYTES: _bytes,
    Kind.STRING: _string,
    Kind.FIXED: _fixed,
    Kind.ENUM: _enum,
    Kind.DECIMAL: _decimal,
    Kind.UUID: _uuid,
    **dict.fromkeys(MOMENTS, _moment),
}
"""What makes the JSON of each kind that is neither an object nor an array."""

OWN_TYPES: Final[dict[Kind, tuple[type, ...]]] = {
    Kind.NULL: (type(None),),
    Kind.BOOLEAN: (bool,),
    Kind.INT: (int,),
    Kind.LONG: (int,),
    Kind.FLOAT: (float,),
    Kind.DOUBLE: (float,),
    Kind.BYTES: (bytes, bytearray, memoryview),
    Kind.STRING: (str,),
    Kind.FIXED: (bytes, bytearray, memoryview),
    Kind.ENUM: (str, Enum),
    Kind.DECIMAL: (Decimal,),
    Kind.UUID: (UUID,),
    Kind.DATE: (date,),
    Kind.TIME_MILLIS: (time,),
    Kind.TIME_MICROS: (time,),
    **dict.fromkeys((kind for kind in MOMENTS if "timestamp" in kind.value), (datetime,)),
}
"""The Python types whose values go to a branch of this kind before all others of a union."""
