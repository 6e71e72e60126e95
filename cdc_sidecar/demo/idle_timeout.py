"""How long to wait for events: as long as they come."""

import time
from collections.abc import Callable


class IdleTimeout:
    """A time-out that begins anew whenever a count has grown."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Be over after `seconds` without growth; `clock` returns seconds."""
        self._seconds = seconds
        self._clock = clock
        self._count = -1
        self._until = 0.0

    def is_over(self, count: int) -> bool:
        """Return whether the count, which is now `count`, has not grown for too long."""
        now = self._clock()
        if count > self._count:
            self._count, self._until = count, now + self._seconds
        return now >= self._until
