"""Quantiles of the end-to-end latency, from counts in buckets that grow by a tenth.

A quantile is the middle of its bucket, so it is at most a twentieth too high or too low. The memory
is fixed: 12 arrays of 168 counters.
"""

import math
from array import array
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

SLOTS: Final = 12
"""Periods that are kept; with a period of five seconds they are the last minute."""
_LEAST: Final = 0.0005
"""Seconds: the upper bound of the first bucket, below the best latency that was measured."""
_STEP: Final = math.log(1.1)
_BUCKETS: Final = 168
"""Up to 4,000 s. Longer latencies are counted in the last bucket."""


class Latencies:
    """Counts of the last periods. One thread adds, and another one turns the page."""

    def __init__(self) -> None:
        self._slots = [_empty() for _ in range(SLOTS)]
        self._current = 0

    def add(self, seconds: float, count: int) -> None:
        """Count transactions of one latency."""
        place = 0 if seconds <= _LEAST else math.ceil(math.log(seconds / _LEAST) / _STEP)
        self._slots[self._current][min(place, _BUCKETS - 1)] += count

    def turn(self) -> None:
        """Begin another period; the oldest one is forgotten."""
        following = (self._current + 1) % SLOTS
        self._slots[following] = _empty()
        self._current = following

    def last(self, *shares: float) -> list[float | None]:
        """Return quantiles in seconds over the current period; None without a transaction."""
        return _quantiles(self._slots[self._current], shares)

    def recent(self, *shares: float) -> list[float | None]:
        """Return quantiles in seconds over all periods that are kept."""
        return _quantiles([sum(counts) for counts in zip(*self._slots, strict=True)], shares)


def _empty() -> "array[int]":
    return array("Q", bytes(8 * _BUCKETS))


def _quantiles(counts: Iterable[int], shares: Iterable[float]) -> list[float | None]:
    counts = list(counts)
    total = sum(counts)
    return [_quantile(counts, share * total) if total else None for share in shares]


def _quantile(counts: list[int], rank: float) -> float:
    """Return the middle of the bucket that holds a rank."""
    reached = accumulate(counts)
    place = next(place for place, seen in enumerate(reached) if seen and seen >= rank)
    return _LEAST * math.exp(_STEP * max(0.0, place - 0.5))
