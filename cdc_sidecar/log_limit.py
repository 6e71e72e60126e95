"""The limit on libraries' log lines: an outage makes hundreds that say the same."""

import threading
from typing import Final

WINDOW: Final = 60.0
"""Seconds for which a library's lines are counted together."""
LINES: Final = 5
"""Lines of a library that are passed on in this time: enough to see every kind of failure."""


class Limiter:
    """Decides which lines are passed on, and counts the others."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a finalizer may log while this thread does
        self._windows: dict[str, tuple[float, int]] = {}  # begin, and lines since then

    def admit(self, source: str, now: float) -> tuple[bool, int]:
        """Return whether a line passes, and how many were left out before a new window."""
        with self._lock:
            begin, seen = self._windows.get(source, (now, 0))
            fresh = now - begin >= WINDOW
            if fresh:
                left_out, begin, seen = max(0, seen - LINES), now, 0
            else:
                left_out = 0
            self._windows[source] = begin, seen + 1
            return seen < LINES, left_out
