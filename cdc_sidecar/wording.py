"""Amounts in words for people: times, sizes and rates."""

from typing import Final

_UNITS: Final = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
_SIZES: Final = ("B", "kB", "MB", "GB", "TB")
_STEP: Final = 1000
_SMALL: Final = 10
"""Below this, a number is shown with one digit after the point."""
_MILLISECOND: Final = 0.001


def printable(text: str) -> str:
    """Return a text without control characters, which could drive the terminal."""
    return "".join(character if character.isprintable() else "·" for character in text)


def span(seconds: float) -> str:
    """Return a length of time in its largest unit, such as `3 min`."""
    seconds = max(0.0, seconds)
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    if seconds == 0 or seconds >= 1:
        return f"{seconds:.0f} s"
    return f"{seconds * 1000:.0f} ms"


def fine_span(seconds: float) -> str:
    """Return a length of time with more digits where they matter, such as `1.2 s`."""
    if seconds <= 0:
        return "0 s"
    if seconds < _MILLISECOND:
        return "below 1 ms"
    return f"{seconds:.1f} s" if 1 <= seconds < _SMALL else span(seconds)


def ago(then: float, now: float) -> str:
    """Return how long ago a moment was; both are seconds since 1970."""
    return "just now" if now - then < 1 else f"{span(now - then)} ago"


def size(count: float) -> str:
    """Return a number of bytes, such as `1.2 GB`."""
    for unit in _SIZES[:-1]:
        if count < _STEP:
            return f"{count:.0f} {unit}" if unit == "B" else f"{_short(count)} {unit}"
        count /= _STEP
    return f"{_short(count)} {_SIZES[-1]}"


def rate(count: float, noun: str) -> str:
    """Return a rate such as `1,200 events/s`."""
    return f"{_short(count)} {noun}/s"


def number(count: int, noun: str) -> str:
    """Return a number of things, such as `1,200 commits`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _short(count: float) -> str:
    return f"{count:.1f}".removesuffix(".0") if count < _SMALL else f"{count:,.0f}"


def first_line(text: str) -> str:
    """Return the first line of an error, which has its code and the fact."""
    return text.partition("\n")[0]
