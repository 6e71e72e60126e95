"""Rates over the last minute: what was committed to Kafka in each of its seconds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

WINDOW: Final = 60
"""Seconds."""


@dataclass(frozen=True, slots=True)
class _Second:
    number: int = -1  # of the monotonic clock
    events: int = 0
    bytes: int = 0
    transactions: int = 0


class Rates:
    """Sums of the last seconds. One thread adds, and any thread reads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._seconds = [_Second()] * WINDOW

    def add(self, events: int, size: int, transactions: int) -> None:
        """Add one committed Kafka transaction."""
        number = int(self._clock())
        sums = self._seconds[number % WINDOW]
        if sums.number != number:
            sums = _Second(number)
        self._seconds[number % WINDOW] = _Second(
            number, sums.events + events, sums.bytes + size, sums.transactions + transactions
        )

    def as_json(self) -> dict[str, float]:
        """Return the rates per second for `/status`."""
        now = self._clock()
        recent = [sums for sums in self._seconds if now - sums.number < WINDOW]
        seconds = max(1.0, min(float(WINDOW), now - self._began))
        return {
            "events_per_second": round(sum(sums.events for sums in recent) / seconds, 2),
            "bytes_per_second": round(sum(sums.bytes for sums in recent) / seconds, 1),
            "transactions_per_second": round(
                sum(sums.transactions for sums in recent) / seconds, 2
            ),
        }
