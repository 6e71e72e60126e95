"""The last fifteen minutes in memory, as samples of five seconds for the status page's curves."""

import math
import time
from array import array
from collections.abc import Callable, Mapping
from typing import Any, Final

STEP: Final = 5.0
"""Seconds between two samples."""
KEPT: Final = 180
"""Samples: fifteen minutes."""
SERIES: Final = (
    "lag_seconds",
    "lag_bytes",
    "events_per_second",
    "bytes_per_second",
    "p50_seconds",
    "p99_seconds",
)


class History:
    """The samples of each series, oldest first. One thread adds, and any thread reads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._samples: dict[str, array[float]] = {name: array("d") for name in SERIES}

    def due(self) -> float:
        """Return the seconds since the last sample if it is time for another one; otherwise 0."""
        passed = self._clock() - self._last
        return passed if passed >= STEP else 0.0

    def add(self, values: Mapping[str, float | None]) -> None:
        """Add a sample of every series; None where nothing is known.

        A process that was frozen leaves a gap as long as the time that it has missed.
        """
        now = self._clock()
        missed = min(KEPT, max(0, int((now - self._last) / STEP) - 1))
        self._last = now
        for name, samples in self._samples.items():
            value = values.get(name)
            added = [math.nan] * missed + [math.nan if value is None else value]
            self._samples[name] = array("d", (*samples, *added)[-KEPT:])

    def as_json(self) -> dict[str, Any]:
        """Return the samples for `/status`; null where nothing is known."""
        return {
            "step_seconds": STEP,
            **{name: [_number(value) for value in samples] for name, samples in self._all()},
        }

    def _all(self) -> list[tuple[str, "array[float]"]]:
        return list(self._samples.items())


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
