"""The outages of servers: when each began, so that the log says once that one began or ended."""

import threading
import time


class Outage:
    """The outage of one server, or none; any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None  # time.monotonic()

    def begin(self) -> bool:
        """Note that the server is away; return whether that is news."""
        with self._lock:
            news = self._since is None
            if news:
                self._since = time.monotonic()
            return news

    def end(self) -> float | None:
        """Note that the server answers; return for how many seconds it was away, if it was."""
        if self._since is None:  # as nearly always
            return None
        with self._lock:
            since, self._since = self._since, None
            return None if since is None else round(time.monotonic() - since, 1)


class Outages:
    """The outages that a sidecar sees."""

    def __init__(self) -> None:
        self.kafka = Outage()
        self.postgres = Outage()
        self.guardian = Outage()
        """Of the guardian's own connections to Postgres."""
