"""The beats of the threads: when each that is needed was last at work."""

import threading
import time
from collections.abc import Mapping
from typing import Final

LIMITS: Final = {"publisher": 180.0, "guardian": 180.0, "signals": 90.0, "main": 600.0}
"""Seconds without a beat after which a thread counts as hung. The thread that waits for signals
beats every second. The others wait for servers between two beats: a new claim of the publisher
may take 60 s to fence and then reads; the guardian asks several hosts, with a time-out for each.

The main thread beats every second while a session streams, and wherever it waits for something that
may take any time: the lock, a broker, the slot, a commit, the pause between two sessions. The
longest time between two beats of a start is that of a claim: it asks the brokers for hanging
transactions (three requests of 20 s), reads the position (60 s without a record, twice), and asks
the source (10 s for a connection, 15 s for a query, 30 s for each of three commands of the
walsender): 300 s if each takes as long as it may. The limit is twice this.

The beat of the replication thread is in `Status`."""


class Beats:
    """The last beat of each thread on the monotonic clock; any thread reads and writes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, float] = {}

    def note(self, beats: Mapping[str, float]) -> None:
        """Watch threads from now on, and note when each was last at work."""
        with self._lock:
            self._seen.update(beats)

    def forget(self, *names: str) -> None:
        """Watch threads no more: they have ended in order."""
        with self._lock:
            for name in names:
                self._seen.pop(name, None)

    @property
    def ages(self) -> dict[str, float]:
        """Seconds since the last beat of each thread that is watched."""
        now = time.monotonic()
        with self._lock:
            return {name: max(0.0, now - seen) for name, seen in self._seen.items()}

    @property
    def stuck(self) -> tuple[str, ...]:
        """The names of the threads that have stopped beating."""
        ages = self.ages
        return tuple(name for name, limit in LIMITS.items() if ages.get(name, 0.0) > limit)
