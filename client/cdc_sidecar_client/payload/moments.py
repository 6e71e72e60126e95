"""Dates and times as JSON: texts of ISO 8601, checked as the sidecar will read them."""

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from cdc_sidecar_client.payload.misfit import Misfit
from cdc_sidecar_client.payload.nodes import Kind, Node
from cdc_sidecar_client.payload.objects import kind_of

Value = Any
_DATE: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d+))?", re.ASCII)
_OFFSET: Final = re.compile(r"Z|([+-])(\d\d):?([0-5]\d)?", re.ASCII)
_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY_SECONDS: Final = 86_400
_MINUTE: Final = timedelta(minutes=1)
_LONGS: Final = range(-(2**63), 2**63)


def spell_date(node: Node, value: Value) -> str:
    """Return the text of a date."""
    text = value.isoformat() if type(value) is date else _text(node, value)
    _days(node, text)
    return text


def spell_time(node: Node, value: Value) -> str:
    """Return the text of a time of day."""
    text = value.isoformat() if isinstance(value, time) else _text(node, value)
    _clock(node, _CLOCK.fullmatch(text))
    return text


def spell_timestamp(node: Node, value: Value) -> str:
    """Return the text of a timestamp: with an offset from UTC, or a local one without."""
    text = _spell_moment(node, value) if isinstance(value, datetime) else _text(node, value)
    day, rest = text[:10], text[11:]
    clock = _CLOCK.match(rest)
    if text[10:11] not in ("T", "t", " ") or clock is None:
        raise Misfit(f"is not a timestamp as ISO 8601 spells it, in {node}")
    offset = _offset(node, rest[clock.end() :])
    unit = 10**node.kind.fraction_digits
    number = (_days(node, day) * _DAY_SECONDS - offset) * unit + _clock(node, clock)
    if number not in _LONGS:
        raise Misfit(f"is out of the range of {node}")
    return text


def _text(node: Node, value: Value) -> str:
    if not isinstance(value, str):
        raise Misfit(f"is {kind_of(value)}, but the schema has {node}")
    return value


def _spell_moment(node: Node, value: datetime) -> str:
    offset, local = value.utcoffset(), value.replace(tzinfo=None)
    if offset is None or node.kind.is_local:
        return value.isoformat()  # what is wrong with the offset is found in the text
    try:
        return f"{(local - offset).isoformat()}Z" if offset % _MINUTE else value.isoformat()
    except OverflowError:
        raise Misfit(f"is out of the range of {node}") from None


def _days(node: Node, text: str) -> int:
    """Return the days since 1970-01-01."""
    match = _DATE.fullmatch(text)
    try:
        if match:
            return date(*map(int, match.groups())).toordinal() - _EPOCH
    except ValueError:
        pass
    raise Misfit(f"is not a date as ISO 8601 spells it, in {node}")


def _clock(node: Node, match: re.Match[str] | None) -> int:
    """Return a time of day in the unit of the type."""
    if match is None:
        raise Misfit(f"is not a time as ISO 8601 spells it, in {node}")
    digits, fraction = node.kind.fraction_digits, match[4] or ""
    if fraction[digits:].strip("0"):
        raise Misfit(f"has more fraction digits than {node}")
    seconds = (int(match[1]) * 60 + int(match[2])) * 60 + int(match[3])
    unit: int = 10**digits
    return seconds * unit + int(fraction[:digits].ljust(digits, "0"))


def _offset(node: Node, text: str) -> int:
    """Return the offset from UTC in seconds."""
    if node.kind.is_local:
        if text:
            raise Misfit(f"has an offset from UTC, but {node} has none")
        return 0
    match = _OFFSET.fullmatch(text.upper())
    if match is None:
        raise Misfit(f"has no offset from UTC, such as Z, but {node} needs one")
    if match[1] is None:
        return 0
    seconds = (int(match[2]) * 60 + int(match[3] or 0)) * 60
    return -seconds if match[1] == "-" else seconds


MOMENTS: Final[dict[Kind, Callable[[Node, Value], str]]] = {
    Kind.DATE: spell_date,
    Kind.TIME_MILLIS: spell_time,
    Kind.TIME_MICROS: spell_time,
    Kind.TIMESTAMP_MILLIS: spell_timestamp,
    Kind.TIMESTAMP_MICROS: spell_timestamp,
    Kind.TIMESTAMP_NANOS: spell_timestamp,
    Kind.LOCAL_TIMESTAMP_MILLIS: spell_timestamp,
    Kind.LOCAL_TIMESTAMP_MICROS: spell_timestamp,
    Kind.LOCAL_TIMESTAMP_NANOS: spell_timestamp,
}
"""How the values of each kind are spelled that are not numbers."""
