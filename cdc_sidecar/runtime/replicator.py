"""The replication thread: receives, assembles, fills the queue, and reports what is acknowledged.

It never waits for Kafka: while the queue is full it stops reading and keeps sending status.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from cdc_sidecar import failpoints
from cdc_sidecar.errors import HaltError, PostgresUnavailable, SidecarError
from cdc_sidecar.events.assembler import Assembler
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.postgres.frames import PrimaryKeepalive
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.replication import ReplicationConnection
from cdc_sidecar.postgres.sentinel import Sentinel
from cdc_sidecar.runtime.handover import Acknowledgement, BatchQueue
from cdc_sidecar.runtime.lookup import Lookup

T = TypeVar("T")

DRAIN_BYTES: Final = 262_144  # read before batches are handed on
SHORT_READ: Final = 12_000  # bytes; a reader that wakes for less makes both sides slow
NAP: Final = 0.001  # seconds after a short read
STATUS_INTERVAL: Final = 10.0  # seconds at most between two statuses
STATUS_PAUSE: Final = 0.02  # seconds at least, unless the server asks
REPLY_PAUSE: Final = 0.1  # seconds at least between two replies to the same keepalive
CHECKPOINT_BYTES: Final = 4_000_000  # of WAL without events of ours
CHECKPOINT_INTERVAL: Final = 10.0  # seconds
SILENCE: Final = (10.0, 60.0)  # seconds, least and most, without a byte although asked
FAREWELL: Final = 0.7  # seconds in which a server that shuts down may still be served


class Replicator:
    """One session's replication thread; owns the connection from `run` on."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        connection: ReplicationConnection,
        queue: BatchQueue,
        acknowledgement: Acknowledgement,
        *,
        wal_sender_timeout: float,
        sentinel: Sentinel,
        lookup: Lookup,
        stopping: threading.Event,
        fail: Callable[[SidecarError], None],
    ) -> None:
        self._connection = connection
        self._queue = queue
        self._acknowledgement = acknowledgement
        self._sentinel = sentinel
        self._lookup = lookup
        self._stopping = stopping
        self._fail = fail
        third = wal_sender_timeout / 3 or STATUS_INTERVAL
        self._interval = min(third, STATUS_INTERVAL)
        least, most = SILENCE
        self._silence = max(least, min(wal_sender_timeout or most, most))
        self._renewal: Future[bool] | None = None
        self._leave_at: float | None = None
        self._reported = acknowledgement.lsn
        self._status_at = 0.0
        self._checkpoint_at = time.monotonic()
        self._checkpoint_lsn: Lsn = acknowledgement.lsn
        self._reply_wanted = False
        self._urgent = False
        self.assembler: Assembler | None = None  # set before `run`; it looks things up through us
        self.beat = time.monotonic()

    def run(self, publisher_finished: threading.Event, grace: float) -> None:
        """Stream until stopped or halted; then wait for the publisher and free the slot.

        A lost connection ends at once, and with it the lock: what waits is not published.
        """
        try:
            self._connection.watch(self._acknowledgement.descriptor)
            self._send_status()
            try:
                self._stream()
            except HaltError as error:
                self._fail(error)
            self._queue.close()
            self._end(publisher_finished, grace)
        except SidecarError as error:
            self._queue.break_off()
            self._fail(error)
        finally:
            self._queue.close()
            self._connection.close()

    def _stream(self) -> None:
        assembler = self.assembler
        assert assembler is not None  # noqa: S101 - set by the session
        connection = self._connection
        while not self._stopping.is_set():
            self.beat = time.monotonic()
            try:
                drained = connection.drain(assembler.feed, self._take_keepalive, DRAIN_BYTES)
            except HaltError:  # what is whole is published, whatever came after it
                self._hand_on(assembler)
                raise
            self._queue.busy = drained >= SHORT_READ
            self._hand_on(assembler)
            self._report()
            self._watch_server()
            if drained >= DRAIN_BYTES:
                continue
            if 0 < drained < SHORT_READ:
                time.sleep(NAP)
            if not connection.wait(self._patience()):
                self._acknowledgement.clear()
                self._watch_silence()

    def _hand_on(self, assembler: Assembler) -> None:
        """Put what is ready on the queue; an idle position only when a checkpoint is due."""
        for batch in assembler.collect(checkpoint=self._checkpoint_due(assembler)):
            self._checkpoint_at = time.monotonic()
            self._checkpoint_lsn = batch.position.end_lsn
            self._put(batch)
        self._urgent = False

    def _checkpoint_due(self, assembler: Assembler) -> bool:
        ahead = assembler.position.end_lsn - self._checkpoint_lsn
        since = time.monotonic() - self._checkpoint_at
        return ahead > 0 and (
            ahead >= CHECKPOINT_BYTES
            or since >= CHECKPOINT_INTERVAL
            or (self._urgent and since >= REPLY_PAUSE)
        )

    def _put(self, batch: Batch) -> None:
        """Put a batch on the queue, reporting while it is full; after a stop put nothing more."""
        while not self._queue.put(batch, timeout=min(self._interval / 2, FAREWELL / 2)):
            if self._queue.closed or self._stopping.is_set():
                self._queue.close()
                self._stopping.set()
                return
            self._report()
            self._watch_server()
            self.beat = self._connection.last_received = time.monotonic()

    def _take_keepalive(self, keepalive: PrimaryKeepalive) -> None:
        assert self.assembler is not None  # noqa: S101 - set by the session
        self.assembler.advance(keepalive.wal_end)
        if keepalive.reply_requested:
            self._reply_wanted = True
            self._urgent = keepalive.wal_end > self._acknowledgement.lsn

    def _watch_server(self) -> None:
        """Let go of a server that shuts down: it would wait for us as long as Kafka is away.

        Raises:
            PostgresUnavailable: it does; what it had not sent or we not published comes again.

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
            self._renewal = self._lookup.renew(self._sentinel)

    def _report(self) -> None:
        """Send a status: by the clock, when the server asks, and when there is news."""
        since = time.monotonic() - self._status_at
        news = self._acknowledgement.lsn > self._reported
        if (
            since >= self._interval
            or (self._reply_wanted and since >= REPLY_PAUSE)
            or (news and since >= STATUS_PAUSE)
        ):
            self._send_status()

    def _send_status(self) -> None:
        lsn = self._acknowledgement.lsn
        news = lsn > self._reported
        silent = time.monotonic() - self._connection.last_received > self._silence / 2
        self._connection.send_status(lsn, reply_requested=silent)
        self._status_at = time.monotonic()
        self._reported = lsn
        self._reply_wanted = False
        if news:
            failpoints.reach(Failpoint.AFTER_ACKNOWLEDGE)

    def _patience(self) -> float:
        """Seconds until the clock wants something of us."""
        since = time.monotonic() - self._status_at
        if self._acknowledgement.lsn > self._reported:
            return STATUS_PAUSE - since
        if self._reply_wanted or self._urgent:
            return REPLY_PAUSE - since
        return min(self._interval - since, 1.0)

    def _watch_silence(self) -> None:
        if time.monotonic() - self._connection.last_received > self._silence:
            raise PostgresUnavailable(
                f"nothing came for {self._silence:.0f} s, although a reply was asked for",
                cause="the walsender is frozen or the network swallows packets",
            )

    def ask(self, future: "Future[T]") -> T:
        """Wait for an answer that another thread fetches, while status keeps flowing.

        Raises:
            SidecarError: what the other thread met.

        """
        done = threading.Event()
        future.add_done_callback(lambda _future: done.set())
        while not done.wait(min(self._interval / 2, 0.5)):
            if self._stopping.is_set():
                raise PostgresUnavailable("stopped while a lookup was under way")
            self.beat = time.monotonic()
            self._report()
            self._watch_server()
        return future.result()

    def _end(self, publisher_finished: threading.Event, grace: float) -> None:
        """Free the slot in order, once the publisher has committed what is whole."""
        deadline = time.monotonic() + grace
        while not publisher_finished.wait(timeout=0.05) and time.monotonic() < deadline:
            self._report()
        self._send_status()
        self._connection.end(max(1.0, deadline - time.monotonic()))
