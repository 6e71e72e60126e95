"""Operations: each takes the text of one value as Postgres prints it, and returns its Avro bytes.

Every operation is exact or raises `ValueRefused`; none returns an approximation. The connections
pin the settings that the text depends on: ISO dates, UTC, ISO 8601 intervals, hex bytea, shortest
exact floats.
"""

import hashlib
import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime
from fractions import Fraction
from functools import lru_cache, partial
from typing import Final

from cdc_sidecar.events.binary import (
    NULL,
    SOME,
    encode_array,
    encode_bytes,
    encode_double,
    encode_float,
    encode_long,
    varint,
)

Operation = Callable[[bytes], bytes]

INT32_MIN: Final = -(2**31)
INT32_MAX: Final = 2**31 - 1
INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
DAY: Final = 86_400_000_000  # microseconds

_REMEMBERED: Final = 512  # encoded timestamps; the rows of a transaction mostly share a few
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - a local timestamp has no zone
_EPOCH_UTC: Final = datetime(1970, 1, 1, tzinfo=UTC)
_POINT: Final = ord(".")
_BOOLEANS: Final = {b"t": b"\x01", b"f": b"\x00"}
_DATE: Final = re.compile(rb"(\d{4,7})-(\d\d)-(\d\d)( BC)?")
_TIME: Final = re.compile(rb"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_TIMESTAMP: Final = re.compile(rb"(\d{4,7}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,6})?)(\+00)?( BC)?")
_DAY_AT: Final = -len("-02-29")  # in a date of any year
_YEAR_DIGITS: Final = 4  # of a year that ISO 8601 spells without a sign
_NOT_ISO: Final = "a timestamp in a form other than ISO"
_TIMETZ: Final = re.compile(rb"(.+[+-]\d\d)")


class ValueRefused(ValueError):
    """A value without an exact Avro form; the message names the kind of value, never the value."""


class NullInKey(ValueRefused):
    """NULL in a column of the key, for which no type has a form."""


def encode_boolean(text: bytes) -> bytes:
    """Encode `t` or `f`."""
    return _BOOLEANS[text]


def encode_integer(text: bytes) -> bytes:
    """Encode the text of any integer up to 64 bits."""
    number = int(text)
    return varint(number << 1 if number >= 0 else ~(number << 1))


def encode_float4(text: bytes) -> bytes:
    """Encode a real, rounded once; text → double → float would round it twice."""
    double = float(text)
    packed = encode_float(double)
    (single,) = struct.unpack("<f", packed)
    if single == double or double != double:  # noqa: PLR0124 - NaN alone differs from itself
        return packed
    bits = int.from_bytes(packed, "little")
    away = (bits + 1 if (double > single) == (double > 0) else bits - 1).to_bytes(4, "little")
    (neighbour,) = struct.unpack("<f", away)
    middle = (Fraction(single) + Fraction(neighbour)) / 2 if abs(neighbour) < 2.0**128 else None
    if middle is None or Fraction(double) != middle:
        return packed
    exact = Fraction(text.decode())
    if exact == middle:
        return packed
    return packed if (exact > middle) == (single > neighbour) else away


def encode_float8(text: bytes) -> bytes:
    """Encode a double precision, NaN and the infinities included."""
    return encode_double(float(text))


def encode_bytea(text: bytes) -> bytes:
    r"""Encode a bytea in hex form, `\x…`."""
    return encode_bytes(bytes.fromhex(text[2:].decode()))


def encode_unscaled(number: int) -> bytes:
    """Encode the unscaled number of an Avro decimal: minimal big-endian two's complement."""
    if number >= 0:
        size = (number.bit_length() >> 3) + 1
        return varint(size + size) + number.to_bytes(size, "big")
    size = ((number + 1).bit_length() >> 3) + 1
    return varint(size + size) + number.to_bytes(size, "big", signed=True)


def encode_decimal(scale: int, text: bytes) -> bytes:
    """Encode a number with at most `scale` fraction digits."""
    if scale and len(text) > scale + 1 and text[-scale - 1] == _POINT:  # as Postgres prints it
        return encode_unscaled(int(text.replace(b".", b"")))
    whole, _, fraction = text.partition(b".")
    missing = scale - len(fraction)
    if missing < 0:
        message = f"a number with more than {scale} fraction digits"
        raise ValueRefused(message)
    try:
        return encode_unscaled(int(whole + fraction + b"0" * missing))
    except ValueError:
        message = "NaN or an infinity, which no Avro decimal can hold"
        raise ValueRefused(message) from None


def decimal_operation(scale: int) -> Operation:
    """Return the operation for numeric(p, `scale`)."""
    return partial(encode_decimal, scale)


def encode_money(text: bytes) -> bytes:
    """Encode a money value with two fraction digits, in the notation of any locale."""
    digits = int(bytes(byte for byte in text if byte in b"0123456789"))
    return encode_unscaled(-digits if b"-" in text or b"(" in text else digits)


def days_from_civil(year: int, month: int, day: int) -> int:
    """Return the days since 1970-01-01 in the proleptic Gregorian calendar, any year.

    Year 0 is 1 BC. After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    """
    year -= month <= 2  # noqa: PLR2004 - the year begins in March
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1  # noqa: PLR2004 - as above
    return (
        era * 146097
        + year_of_era * 365
        + year_of_era // 4
        - year_of_era // 100
        + (day_of_year - 719468)
    )


def _days(text: bytes, *, before_christ: bool) -> int:
    match = _DATE.fullmatch(text)
    if match is None:
        message = "a date in a form other than ISO"
        raise ValueRefused(message)
    year = int(match[1])
    if before_christ or match[4]:
        year = 1 - year
    return days_from_civil(year, int(match[2]), int(match[3]))


def _microseconds(text: bytes) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        message = "a time in a form other than ISO"
        raise ValueRefused(message)
    seconds = (int(match[1]) * 60 + int(match[2])) * 60 + int(match[3])
    return seconds * 1_000_000 + int((match[4] or b"0").ljust(6, b"0"))


def encode_date(text: bytes) -> bytes:
    """Encode a date as days; ±infinity are the ends of int32."""
    try:
        return encode_long(date.fromisoformat(text.decode()).toordinal() - _EPOCH_DAY)
    except ValueError:
        pass
    if text == b"infinity":
        return encode_long(INT32_MAX)
    if text == b"-infinity":
        return encode_long(INT32_MIN)
    return encode_long(_days(text, before_christ=False))


def encode_time(text: bytes) -> bytes:
    """Encode a time as microseconds; 24:00:00 is a whole day."""
    return encode_long(_microseconds(text))


def encode_timetz(text: bytes) -> bytes:
    """Encode a time with zone as ISO text whose offset has minutes."""
    return encode_bytes(text + b":00" if _TIMETZ.fullmatch(text) else text)


@lru_cache(_REMEMBERED)
def encode_timestamp(text: bytes) -> bytes:
    """Encode a timestamp as microseconds; ±infinity are the ends of int64."""
    try:
        since = datetime.fromisoformat(text.decode()) - _EPOCH
    except (ValueError, TypeError):  # TypeError: it has a zone
        return _encode_rare_timestamp(text, None)
    return encode_long((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds)


@lru_cache(_REMEMBERED)
def encode_timestamptz(text: bytes) -> bytes:
    """Encode a timestamp with time zone, printed in UTC, as microseconds."""
    try:
        since = datetime.fromisoformat(text.decode()) - _EPOCH_UTC
    except (ValueError, TypeError):  # TypeError: it has no zone
        return _encode_rare_timestamp(text, b"+00")
    return encode_long((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds)


def encode_timestamptz_iso(text: bytes) -> bytes:
    """Encode a timestamp with time zone as ISO text in UTC: Debezium's `ZonedTimestamp`.

    The infinities are sent as `infinity` and `-infinity`, as Debezium's sink reads them.
    """
    if text in (b"infinity", b"-infinity"):
        return encode_bytes(text)
    match = _TIMESTAMP.fullmatch(text)
    if match is None or match[3] != b"+00":
        raise ValueRefused(_NOT_ISO)
    year, day = match[1][:_DAY_AT], match[1][_DAY_AT:]
    if match[4] or len(year) > _YEAR_DIGITS:
        year = _encode_rare_year(1 - int(year) if match[4] else int(year))
    return encode_bytes(year + day + b"T" + match[2] + b"Z")


def _encode_rare_year(year: int) -> bytes:
    """Spell a year beyond 9999 or before 1 as ISO 8601 does: with a sign; 1 BC is 0000."""
    if year > 0:
        return b"+%d" % year
    return b"-%04d" % -year if year else b"0000"


def _encode_rare_timestamp(text: bytes, zone: bytes | None) -> bytes:
    """Encode a timestamp that Python's datetime cannot hold: ±infinity, BC, years beyond 9999."""
    if text == b"infinity":
        return encode_long(INT64_MAX)
    if text == b"-infinity":
        return encode_long(INT64_MIN)
    match = _TIMESTAMP.fullmatch(text)
    if match is None or match[3] != zone:
        raise ValueRefused(_NOT_ISO)
    days = _days(match[1], before_christ=match[4] is not None)
    microseconds = days * DAY + _microseconds(match[2])
    if not INT64_MIN < microseconds < INT64_MAX:
        message = "a timestamp beyond 64 bits of microseconds (years 294247 to 294276)"
        raise ValueRefused(message)
    return encode_long(microseconds)


def masked(text: bytes) -> bytes:
    """Return what leaves the sidecar instead of a text with `mask = "hash"`: SHA-256 in hex."""
    return hashlib.sha256(text).hexdigest().encode()


def encode_hash(text: bytes) -> bytes:
    """Encode a text that is masked."""
    return encode_bytes(masked(text))


def array_operation(element: Operation, delimiter: str) -> Operation:
    """Return the operation for a one-dimensional array, items `["null", T]`."""
    mark = re.escape(delimiter.encode())
    pattern = rb'(?:"((?:[^"\\]|\\.)*)"|([^"{}' + mark + rb"]+))(" + mark + rb"|\})"
    item = re.compile(pattern, re.DOTALL)

    def encode_items(text: bytes) -> bytes:
        if text == b"{}":
            return encode_array([])
        _check_dimensions(text)
        items, at = [], 1
        while at < len(text):
            match = item.match(text, at)
            if match is None or (match[3] == b"}") != (match.end() == len(text)):
                message = "an array in an unknown form"
                raise ValueRefused(message)
            items.append(_encode_item(match[1], match[2], element))
            at = match.end()
        return encode_array(items)

    return encode_items


def _check_dimensions(text: bytes) -> None:
    if text.startswith(b"["):
        message = "an array whose bounds do not begin at 1"
        raise ValueRefused(message)
    if not text.startswith(b"{") or text.startswith(b"{{"):
        message = "an array of more than one dimension"
        raise ValueRefused(message)
    if not text.endswith(b"}"):
        message = "an array in an unknown form"
        raise ValueRefused(message)


def _encode_item(quoted: bytes | None, bare: bytes | None, element: Operation) -> bytes:
    if bare is not None:
        return NULL if bare == b"NULL" else SOME + element(bare)
    return SOME + element(re.sub(rb"\\(.)", rb"\1", quoted or b"", flags=re.DOTALL))
