"""Encoders of JSON values that are neither objects nor arrays.

Each takes the node and the value, and returns Avro bytes: exactly, except that a number is rounded
to a float or a double once. It raises `PayloadMisfit` otherwise.
"""

import re
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from cdc_sidecar.events.binary import encode_bytes, encode_double, encode_long, encode_string
from cdc_sidecar.events.payload.json_text import Number, PayloadMisfit, kind_of
from cdc_sidecar.events.payload.nodes import Kind, Node
from cdc_sidecar.events.values import (
    INT32_MAX,
    INT32_MIN,
    INT64_MAX,
    INT64_MIN,
    days_from_civil,
    encode_float4,
    encode_unscaled,
)

Encoder = Callable[[Node, Any], bytes]

_DATE: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_CLOCK: Final = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.(\d+))?", re.ASCII)
_OFFSET: Final = re.compile(r"Z|([+-])(\d\d):?(\d\d)?", re.ASCII)
_DECIMAL: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NOT_FINITE: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_LONGEST_DECIMAL: Final = 2_000
"""Characters, and the largest exponent, of a decimal: more than any precision in use."""
_DAY_SECONDS: Final = 86_400
_FRACTION_DIGITS: Final = {
    Kind.TIME_MILLIS: 3,
    Kind.TIME_MICROS: 6,
    Kind.TIMESTAMP_MILLIS: 3,
    Kind.TIMESTAMP_MICROS: 6,
    Kind.TIMESTAMP_NANOS: 9,
    Kind.LOCAL_TIMESTAMP_MILLIS: 3,
    Kind.LOCAL_TIMESTAMP_MICROS: 6,
    Kind.LOCAL_TIMESTAMP_NANOS: 9,
}


def _wrong(node: Node, value: object) -> PayloadMisfit:
    return PayloadMisfit(f"is {kind_of(value)}, but the schema has {describe(node)}")


def describe(node: Node) -> str:
    """Return the type of a node for messages."""
    if node.kind in (Kind.ENUM, Kind.FIXED, Kind.RECORD):
        return f"{node.kind.name.lower()} {node.name}"
    if node.kind is Kind.DECIMAL:
        return f"decimal({node.precision}, {node.scale})"
    if node.kind is Kind.UNION:
        return "a union of " + ", ".join(describe(branch) for branch in node.items)
    return node.kind.name.lower().replace("_", "-")


def _null(node: Node, value: object) -> bytes:
    if value is not None:
        raise _wrong(node, value)
    return b""


def _boolean(node: Node, value: object) -> bytes:
    if not isinstance(value, bool):
        raise _wrong(node, value)
    return b"\x01" if value else b"\x00"


def _integer(node: Node, value: object, least: int, most: int) -> int:
    if not isinstance(value, Number):
        raise _wrong(node, value)
    if not value.is_integer:
        raise PayloadMisfit(f"has a fraction or an exponent, but the schema has {describe(node)}")
    if len(value) > len(str(INT64_MIN)) or not least <= (number := int(value)) <= most:
        raise PayloadMisfit(f"is out of the range of {describe(node)}")
    return number


def _int(node: Node, value: object) -> bytes:
    return encode_long(_integer(node, value, INT32_MIN, INT32_MAX))


def _long(node: Node, value: object) -> bytes:
    return encode_long(_integer(node, value, INT64_MIN, INT64_MAX))


def _floating(node: Node, value: object) -> str:
    """Return the text of a number, or of one that JSON can hold only as a string."""
    if isinstance(value, Number) or (isinstance(value, str) and value in _NOT_FINITE):
        return value
    raise _wrong(node, value)


def _double(node: Node, value: object) -> bytes:
    number = float(_floating(node, value))
    if number in (float("inf"), float("-inf")) and isinstance(value, Number):
        raise PayloadMisfit("is out of the range of double")
    return encode_double(number)


def _float(node: Node, value: object) -> bytes:
    try:
        packed = encode_float4(_floating(node, value).encode())
    except OverflowError:
        raise PayloadMisfit("is out of the range of float") from None
    (number,) = struct.unpack("<f", packed)
    if number in (float("inf"), float("-inf")) and isinstance(value, Number):
        raise PayloadMisfit("is out of the range of float")
    return packed


def _text(node: Node, value: object) -> str:
    if not isinstance(value, str) or isinstance(value, Number):
        raise _wrong(node, value)
    return value


def _string(node: Node, value: object) -> bytes:
    try:
        return encode_string(_text(node, value))
    except UnicodeEncodeError:
        raise PayloadMisfit("has half of a surrogate pair, which no UTF-8 can hold") from None


def _octets(node: Node, value: object) -> bytes:
    """Return bytes that are spelled as Avro's JSON does: a character for each byte."""
    try:
        return _text(node, value).encode("latin-1")
    except UnicodeEncodeError:
        raise PayloadMisfit("has a character above U+00FF, which is no byte") from None


def _bytes(node: Node, value: object) -> bytes:
    return encode_bytes(_octets(node, value))


def _fixed(node: Node, value: object) -> bytes:
    octets = _octets(node, value)
    if len(octets) != node.size:
        raise PayloadMisfit(f"has {len(octets)} bytes, but {describe(node)} has {node.size}")
    return octets


def _enum(node: Node, value: object) -> bytes:
    text = _text(node, value)
    if text not in node.symbols:
        raise PayloadMisfit(f"is not a symbol of {describe(node)}: {', '.join(node.symbols)}")
    return encode_long(node.symbols.index(text))


def _decimal(node: Node, value: object) -> bytes:
    """Encode a number, or a string that spells one."""
    text = value if isinstance(value, Number) else _text(node, value)
    if len(text) > _LONGEST_DECIMAL or not _DECIMAL.fullmatch(text):
        raise PayloadMisfit(f"does not spell a number of {describe(node)}")
    unscaled = _unscaled(text, node)
    if abs(unscaled) >= 10**node.precision:
        raise PayloadMisfit(f"has more digits than {describe(node)}")
    if node.size:
        return unscaled.to_bytes(node.size, "big", signed=True)
    return encode_unscaled(unscaled)


def _unscaled(text: str, node: Node) -> int:
    sign, digits, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 - the text spells a finite number
    number = int("".join(map(str, digits)))
    shift = exponent + node.scale
    if number and shift > node.precision:
        raise PayloadMisfit(f"has more digits than {describe(node)}")
    if shift < 0:
        cut = 10 ** min(-shift, len(digits))
        if number % cut:
            raise PayloadMisfit(f"has more fraction digits than {describe(node)}")
        number //= cut
    elif number:
        number *= 10**shift
    return -number if sign else number


def _uuid(node: Node, value: object) -> bytes:
    text = _text(node, value)
    if not _UUID.fullmatch(text):
        raise PayloadMisfit("is not the text of a uuid")
    return UUID(text).bytes if node.size else encode_string(text)


def _date(node: Node, value: object) -> bytes:
    if isinstance(value, Number):
        return _int(node, value)
    return encode_long(_days(node, _text(node, value)))


def _days(node: Node, text: str) -> int:
    match = _DATE.fullmatch(text)
    days = days_from_civil(*map(int, match.groups())) if match else None
    if match is None or days is None or not _is_day(*map(int, match.groups())):
        raise PayloadMisfit(f"is not a date as ISO 8601 spells it, in {describe(node)}")
    return days


def _is_day(year: int, month: int, day: int) -> bool:
    if not (year >= 1 and 1 <= month <= 12 and day >= 1):  # noqa: PLR2004 - months
        return False
    following = (year + 1, 1) if month == 12 else (year, month + 1)  # noqa: PLR2004 - as above
    return day <= days_from_civil(*following, 1) - days_from_civil(year, month, 1)


def _time(node: Node, value: object) -> bytes:
    digits = _FRACTION_DIGITS[node.kind]
    day = _DAY_SECONDS * 10**digits
    if isinstance(value, Number):
        return encode_long(_integer(node, value, 0, day - 1))
    text = _text(node, value)
    return encode_long(_clock(node, _CLOCK.fullmatch(text)))


def _clock(node: Node, match: re.Match[str] | None) -> int:
    """Return a time of day in the unit of the node."""
    if match is None or match[1] > "23" or match[2] > "59" or match[3] > "59":
        raise PayloadMisfit(f"is not a time as ISO 8601 spells it, in {describe(node)}")
    digits, fraction = _FRACTION_DIGITS[node.kind], match[4] or ""
    if fraction[digits:].strip("0"):
        raise PayloadMisfit(f"has more fraction digits than {describe(node)}")
    seconds = (int(match[1]) * 60 + int(match[2])) * 60 + int(match[3])
    unit: int = 10**digits
    return seconds * unit + int(fraction[:digits].ljust(digits, "0"))


def _timestamp(node: Node, value: object) -> bytes:
    """Encode a long, or a text of ISO 8601: with an offset, or a local one without."""
    if isinstance(value, Number):
        return _long(node, value)
    text = _text(node, value)
    day, rest = text[:10], text[11:]
    clock = _CLOCK.match(rest)
    if text[10:11] not in ("T", "t", " ") or clock is None:
        raise PayloadMisfit(f"is not a timestamp as ISO 8601 spells it, in {describe(node)}")
    unit = 10 ** _FRACTION_DIGITS[node.kind]
    offset = _offset(node, rest[clock.end() :])
    number = (_days(node, day) * _DAY_SECONDS - offset) * unit + _clock(node, clock)
    if not INT64_MIN <= number <= INT64_MAX:
        raise PayloadMisfit(f"is out of the range of {describe(node)}")
    return encode_long(number)


def _offset(node: Node, text: str) -> int:
    """Return the offset from UTC in seconds."""
    if node.kind.name.startswith("LOCAL"):
        if text:
            raise PayloadMisfit(f"has an offset from UTC, but {describe(node)} has none")
        return 0
    match = _OFFSET.fullmatch(text.upper())
    if match is None or (match[3] or "") > "59":
        raise PayloadMisfit(f"has no offset from UTC, such as Z, but {describe(node)} needs one")
    if match[1] is None:
        return 0
    seconds = (int(match[2]) * 60 + int(match[3] or 0)) * 60
    return -seconds if match[1] == "-" else seconds


SCALARS: Final[dict[Kind, Encoder]] = {
    Kind.NULL: _null,
    Kind.BOOLEAN: _boolean,
    Kind.INT: _int,
    Kind.LONG: _long,
    Kind.FLOAT: _float,
    Kind.DOUBLE: _double,
    Kind.BYTES: _bytes,
    Kind.STRING: _string,
    Kind.FIXED: _fixed,
    Kind.ENUM: _enum,
    Kind.DECIMAL: _decimal,
    Kind.UUID: _uuid,
    Kind.DATE: _date,
    Kind.TIME_MILLIS: _time,
    Kind.TIME_MICROS: _time,
    Kind.TIMESTAMP_MILLIS: _timestamp,
    Kind.TIMESTAMP_MICROS: _timestamp,
    Kind.TIMESTAMP_NANOS: _timestamp,
    Kind.LOCAL_TIMESTAMP_MILLIS: _timestamp,
    Kind.LOCAL_TIMESTAMP_MICROS: _timestamp,
    Kind.LOCAL_TIMESTAMP_NANOS: _timestamp,
}
"""The encoder of each kind that is neither an object nor an array in JSON."""
