"""The demo's latencies: how long each event took from its commit to the consumer."""

import time
from array import array
from collections import deque
from typing import Final

_RECENT: Final = 2000  # events that the screen's percentiles cover: a few seconds of the demo


class Latencies:
    """Seconds from commit to consumer. Events that a killed sidecar delayed are counted apart."""

    def __init__(self) -> None:
        """Begin without a latency."""
        self._steady = array("d")
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._killed_at = float("inf")
        self._back_at = 0.0
        self.delayed = 0
        self.longest = 0.0

    def note_kill(self) -> None:
        """Record that the sidecar has just been killed."""
        self._killed_at, self._back_at = time.time(), float("inf")

    def note_back(self) -> None:
        """Record that the sidecar streams again."""
        self._back_at = time.time()

    def add(self, committed_at: float, now: float) -> None:
        """Add the times of one event, in seconds since 1970."""
        self._recent.append(now - committed_at)
        if committed_at < self._back_at and now > self._killed_at:
            self.delayed += 1
            self.longest = max(self.longest, now - committed_at)
        else:
            self._steady.append(now - committed_at)

    def recent(self, share: float) -> float | None:
        """Return a percentile of the last events, or None if there are none."""
        return _percentile(list(self._recent), share)

    def steady(self, share: float) -> float | None:
        """Return a percentile of all events that no kill delayed, or None if there are none."""
        return _percentile(list(self._steady), share)


def _percentile(values: list[float], share: float) -> float | None:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None
