"""Durations and sizes with a unit: `"2ms"`, `"5m"`, `"16MB"`."""

import re
from typing import Annotated

from pydantic import BeforeValidator

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 1000, "KB": 1000, "MB": 1000**2, "GB": 1000**3}
_BYTES |= {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_WRITTEN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


def parse_duration(written: object) -> float:
    """Return the seconds of a duration such as `"250ms"`.

    Raises:
        ValueError: the value is not a number with one of the units us, ms, s, m, h, d.

    """
    return _parse(written, _SECONDS, 'a duration with a unit, such as "250ms", "30s" or "5m"')


def parse_size(written: object) -> int:
    """Return the bytes of a size such as `"16MB"`.

    Raises:
        ValueError: the value is not a number with one of B, kB, MB, GB, KiB, MiB, GiB.

    """
    return round(_parse(written, _BYTES, 'a size with a unit, such as "512kB" or "16MB"'))


def _parse(written: object, units: dict[str, float] | dict[str, int], form: str) -> float:
    match = _WRITTEN.fullmatch(written) if isinstance(written, str) else None
    if match is None or match[2] not in units:
        message = f"must be {form}"
        raise ValueError(message)
    return float(match[1]) * units[match[2]]


Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds; in TOML a text with a unit."""

Size = Annotated[int, BeforeValidator(parse_size)]
"""Bytes; in TOML a text with a unit."""
