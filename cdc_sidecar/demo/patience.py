"""How long to wait for something that comes slowly: as long as it comes."""

import time
from collections.abc import Callable


class Patience:
    """Lasts while a count grows, and some seconds longer."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Wait at most `seconds` for each step of the count; `clock` returns seconds."""
        self._seconds = seconds
        self._clock = clock
        self._count = -1
        self._until = 0.0

    def lasts(self, count: int) -> bool:
        """Return whether the count has grown since the last call, or not long ago."""
        now = self._clock()
        if count > self._count:
            self._count, self._until = count, now + self._seconds
        return now < self._until
