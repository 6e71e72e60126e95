"""The outages of servers: when each began, so that the log says once that one began or ended.

A condition that lasts is repeated once a minute, so that the end of a long log says that it does.
"""

import threading
import time
from typing import Final

REMINDER: Final = 60.0
"""Seconds between two log lines that say that something still lasts."""


class Outage:
    """The outage of one server, or none; any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None  # time.monotonic()
        self._said = 0.0  # likewise, of the last line

    def begin(self) -> bool:
        """Note that the server is away; return whether that is news."""
        with self._lock:
            news = self._since is None
            if news:
                self._since = time.monotonic()
            return news

    def report(self) -> float | None:
        """Note that the server is away; return for how many seconds, if that is to be said.

        It is at the beginning, with 0, and once a minute after it.
        """
        now = time.monotonic()
        if self.begin():
            self._said = now
            return 0.0
        with self._lock:
            if self._since is None or now - self._said < REMINDER:
                return None
            self._said = now
            return round(now - self._since, 1)

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
        self._sessions = Outage()
        self._code = ""  # of the error with which the last one ended

    def session_failed(self, code: str) -> float | None:
        """Note the error of a session; return for how long all have ended with it, as `report`."""
        if code != self._code:
            self._sessions.end()
        self._code = code
        return self._sessions.report()

    def session_succeeded(self) -> None:
        """Note that a session streams."""
        self._sessions.end()
