"""The backlog: what was read from Postgres and is not yet published, for the gauges of a scrape.

Each stream has one backlog. Its queue and its publisher write to it, and the HTTP thread reads it
through the status board. A gauge therefore keeps no queue and no producer alive.
"""

import time


class Backlog:
    """Bytes that wait, and how old the oldest change among them is.

    Each field has one writer, and a reader may see two fields a moment apart.
    """

    __slots__ = ("_idle_since", "committing_since", "queue_bytes", "waiting_since")

    def __init__(self, idle_since: float | None = None) -> None:
        """Begin with nothing; `idle_since` is the end of the last stream while none is read."""
        self._idle_since = idle_since  # seconds since 1970
        self.queue_bytes = 0
        self.waiting_since: int | None = None  # commit time of the first batch in the queue
        self.committing_since: int | None = None  # that of the open Kafka transaction

    def lag(self) -> float:
        """Return the age in seconds of the oldest change not yet published; 0 when idle.

        While no stream is read, it grows from the end of the last one.
        """
        oldest = self.committing_since or self.waiting_since
        if oldest:
            return max(0.0, time.time() - oldest / 1e6)
        return 0.0 if self._idle_since is None else max(0.0, time.time() - self._idle_since)
