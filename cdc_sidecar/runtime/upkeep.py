"""The upkeep of the replication connection, which must continue while its thread waits.

It sends standby status, notices a server that shuts down, and shows that the thread is at work. The
replication thread calls `tend` in its loop, and so does every wait inside the loop.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from cdc_sidecar import failpoints
from cdc_sidecar.errors import PostgresUnavailable
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.runtime.handover import Acknowledgement
from cdc_sidecar.runtime.ports import ServerWatch, StatusConnection

STATUS_INTERVAL: Final = 10.0
"""Seconds at most between two statuses: the default of Postgres's own receivers
(`wal_receiver_status_interval`)."""
STATUS_PAUSE: Final = 0.02
"""Seconds at least between two statuses without a request: 50 a second free WAL soon enough."""
REPLY_PAUSE: Final = 0.1
"""Seconds at least between two replies. A server that shuts down repeats its request without a
pause: 280,840 keepalives in 9.7 s were measured."""
SILENCE: Final = (10.0, 60.0)
"""The least and the most seconds to wait for a byte after a reply was requested. Between these two
the limit is `wal_sender_timeout`. The least is long enough for a busy server, and the most is short
enough for a person who waits."""
FAREWELL: Final = 0.7
"""Seconds for which the connection to a server that shuts down is kept. The publisher may commit
whole transactions in this time, and a fast shutdown still takes less than two seconds."""
LONGEST_WAIT: Final = 1.0
"""Seconds that the thread sleeps at most: no descriptor wakes it for the check of the server."""


class Upkeep:
    """The upkeep of one session; used by its replication thread alone.

    `wal_sender_timeout` is the server's, in seconds, 0 for never. `renew` asks in another thread
    whether the server still accepts connections.
    """

    def __init__(
        self,
        connection: StatusConnection,
        acknowledgement: Acknowledgement,
        wal_sender_timeout: float,
        sentinel: ServerWatch,
        renew: Callable[[ServerWatch], Future[bool]],
    ) -> None:
        self._connection = connection
        self._acknowledgement = acknowledgement
        self._sentinel = sentinel
        self._renew = renew
        third = wal_sender_timeout / 3 or STATUS_INTERVAL
        self._interval = min(third, STATUS_INTERVAL)
        least, most = SILENCE
        self._silence = max(least, min(wal_sender_timeout or most, most))
        self._reported = acknowledgement.lsn
        self._status_at = 0.0
        self._reply_wanted = False
        self._renewal: Future[bool] | None = None
        self._leave_at: float | None = None
        self.beat = time.monotonic()
        """When the thread was last at work, on the monotonic clock."""

    @property
    def pause(self) -> float:
        """Seconds that a wait of the replication thread may last before it tends again."""
        return min(self._interval / 2, FAREWELL / 2)

    def tend(self) -> None:
        """Send a status if one is due, and check whether the server shuts down.

        Raises:
            PostgresUnavailable: the connection broke, or the server shuts down.

        """
        self.beat = time.monotonic()
        self.report()
        self._watch_server()

    def rest(self) -> None:
        """Do the same while nothing is read, when silence of the server is no error.

        Raises:
            PostgresUnavailable: as in `tend`.

        """
        self.tend()
        self._connection.last_received = time.monotonic()

    def want_reply(self) -> None:
        """Note that the server has asked for a status."""
        self._reply_wanted = True

    def report(self) -> None:
        """Send a status if one is due: by the clock, on request, or because the LSN has advanced.

        Raises:
            PostgresUnavailable: the connection broke.

        """
        since = time.monotonic() - self._status_at
        if (
            since >= self._interval
            or (self._reply_wanted and since >= REPLY_PAUSE)
            or (self._has_news and since >= STATUS_PAUSE)
        ):
            self.send_status()

    @property
    def _has_news(self) -> bool:
        return self._acknowledgement.lsn > self._reported

    def send_status(self) -> None:
        """Report the acknowledged LSN to the server as flushed (I3).

        Raises:
            PostgresUnavailable: the connection broke.

        """
        lsn, news = self._acknowledgement.lsn, self._has_news
        silent = time.monotonic() - self._connection.last_received > self._silence / 2
        if not self._connection.send_status(lsn, reply_requested=silent):
            return  # the server reads nothing now, so a status stays due
        self._status_at = time.monotonic()
        self._reported = lsn
        self._reply_wanted = False
        if news:
            failpoints.reach(Failpoint.AFTER_ACKNOWLEDGE)

    def patience(self) -> float:
        """Return the seconds that the replication thread may sleep: until a status is due."""
        since = time.monotonic() - self._status_at
        if self._has_news:
            return STATUS_PAUSE - since
        if self._reply_wanted:
            return REPLY_PAUSE - since
        return min(self._interval - since, LONGEST_WAIT)

    def watch_silence(self) -> None:
        """Give up a connection on which nothing came although a reply was requested.

        Raises:
            PostgresUnavailable: nothing came for too long.

        """
        if time.monotonic() - self._connection.last_received > self._silence:
            raise PostgresUnavailable(
                f"nothing came for {self._silence:.0f} s, although a reply was asked for",
                cause="the walsender is frozen, or the network drops packets",
            )

    def _watch_server(self) -> None:
        """Leave a server that shuts down: it would wait for us as long as Kafka is not available.

        Changes that it has not sent, or that we have not published, are sent after its restart.
        """
        now = time.monotonic()
        if self._leave_at is not None:
            if now > self._leave_at:
                raise PostgresUnavailable("the server is shutting down")
        elif self._renewal is not None:
            if self._renewal.done():
                self._leave_at = None if self._renewal.result() else now + FAREWELL
                self._renewal = None
        elif self._sentinel.spoke():
            self._renewal = self._renew(self._sentinel)
