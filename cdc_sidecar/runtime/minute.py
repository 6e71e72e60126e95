"""One log line a minute for a person who watches a terminal: what was published in it."""

import time
from typing import Final

MINUTE: Final = 60.0
"""Seconds between two lines."""


class Minute:
    """Counts for one line a minute; the publisher adds, and the signal thread reads."""

    def __init__(self) -> None:
        self._events = 0
        self._transactions = 0
        self._shown = (0, 0)
        self._begun = time.monotonic()

    def add(self, events: int, transactions: int) -> None:
        """Count what a commit has published."""
        self._events += events
        self._transactions += transactions

    def take(self) -> dict[str, int] | None:
        """Return what was published since the last line, once a minute has passed."""
        now = time.monotonic()
        if now - self._begun < MINUTE:
            return None
        total, before = (self._events, self._transactions), self._shown
        self._begun, self._shown = now, total
        return {"events": total[0] - before[0], "transactions": total[1] - before[1]}
