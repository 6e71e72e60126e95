"""The backlog: what was read from Postgres and is not yet published, for the gauges of a scrape.

Each stream has one backlog. Its queue and its publisher write to it, and the HTTP thread reads it
through the status board. A gauge therefore keeps no queue and no producer alive.

The lag has one definition: the age of the oldest change that may not be published yet. While a
stream flows, it is the age of the oldest change that was read and not published. While none flows,
nothing is known of the changes in Postgres, so it is the time since the last stream, or since the
start of the process. A standby does not know how far the other sidecar is, and has no lag.
"""

import time


class Backlog:
    """Bytes that wait, and how old the oldest change among them is.

    Each field has one writer, and a reader may see two fields a moment apart.
    """

    __slots__ = ("_idle_since", "committing_since", "queue_bytes", "waiting_since")

    def __init__(self, idle_since: float | None = None) -> None:
        """Begin with nothing.

        `idle_since` is None for a stream, and otherwise the end of the last one, in seconds since
        1970; NaN for a standby.
        """
        self._idle_since = idle_since  # seconds since 1970
        self.queue_bytes = 0
        self.waiting_since: int | None = None  # commit time of the first batch in the queue
        self.committing_since: int | None = None  # that of the open Kafka transaction

    def lag(self) -> float:
        """Return the lag in seconds; 0 while a stream is idle, and NaN on a standby."""
        oldest = self.committing_since or self.waiting_since
        if oldest:
            return _age(oldest / 1e6)
        return 0.0 if self._idle_since is None else _age(self._idle_since)


def _age(moment: float) -> float:
    age = time.time() - moment
    return 0.0 if age < 0 else age
