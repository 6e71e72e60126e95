"""The replication thread: receives, assembles, fills the queue, and reports what is acknowledged.

It never waits for Kafka: while the queue is full it stops reading and keeps sending status.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from cdc_sidecar.errors import HaltError, SidecarError
from cdc_sidecar.events.assembler import Assembler
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.postgres.frames import PrimaryKeepalive
from cdc_sidecar.runtime.handover import Handover
from cdc_sidecar.runtime.ports import StreamConnection
from cdc_sidecar.runtime.upkeep import REPLY_PAUSE, Upkeep

DRAIN_BYTES: Final = 262_144
"""Bytes read before batches are handed on: a few thousand small rows, so that the publisher gets
work while more is read, and the cost of handing on is spread over many rows."""
SHORT_READ: Final = 12_000
"""A read of fewer bytes is followed by a nap: a reader that wakes for every row makes both sides
slow, because the walsender sends row by row. 12 kB are about a hundred small rows."""
NAP: Final = 0.001
"""Seconds of that nap. Measured: two to three times the rate of one-row transactions, for half a
millisecond of latency."""
CHECKPOINT_BYTES: Final = 4_000_000
"""Bytes of WAL without events of ours after which the position is moved on, so that a quiet slot
keeps little WAL."""
CHECKPOINT_INTERVAL: Final = 10.0
"""Seconds after which a position that only moved on is committed."""
PROGRESS_INTERVAL: Final = 0.25
"""The same where readers of the topic of transactions wait for it: four records a second."""


class Replicator:
    """The replication thread of one session; owns the connection from `run` on.

    It streams until `stopping` is set, and reports what ends it earlier to `fail`.
    """

    def __init__(
        self,
        connection: StreamConnection,
        assembler: Assembler,
        handover: Handover,
        upkeep: Upkeep,
        *,
        stopping: threading.Event,
        fail: Callable[[SidecarError], None],
    ) -> None:
        self._connection = connection
        self._assembler = assembler
        self._queue = handover.queue
        self._acknowledgement = handover.acknowledgement
        self._upkeep = upkeep
        self._stopping = stopping
        self._fail = fail
        self._checkpoint_at = time.monotonic()
        self._checkpoint_lsn = handover.acknowledgement.lsn
        self._interval = PROGRESS_INTERVAL if assembler.tells_progress else CHECKPOINT_INTERVAL
        self._urgent = False  # the server waits for a position beyond the acknowledged one

    def run(self, released: threading.Event, grace: float) -> None:
        """Stream until stopped or halted; then wait until `released` is set and free the slot.

        The wait takes at most `grace` seconds. A lost connection ends the stream at once. The lock
        is lost with it, so what is in the queue must not be published.
        """
        try:
            self._connection.wake_on(self._acknowledgement.descriptor)
            self._upkeep.send_status()
            try:
                self._stream()
            except HaltError as error:
                self._fail(error)
            self._queue.close()
            self._end(released, grace)
        except SidecarError as error:
            self._queue.break_off()
            self._fail(error)
        finally:
            self._queue.close()
            self._connection.close()

    def _stream(self) -> None:
        connection, assembler, upkeep = self._connection, self._assembler, self._upkeep
        while not self._stopping.is_set():
            try:
                drained = connection.drain(assembler.feed, self._feed_keepalive, DRAIN_BYTES)
            except HaltError:  # the whole transactions before the error are published
                self._hand_on()
                raise
            self._queue.busy = drained >= SHORT_READ
            self._hand_on()
            upkeep.tend()
            if drained >= DRAIN_BYTES:
                continue
            if 0 < drained < SHORT_READ:
                time.sleep(NAP)
            if not connection.wait(upkeep.patience()):
                self._acknowledgement.clear()
                upkeep.watch_silence()

    def _hand_on(self) -> None:
        """Put what is ready on the queue; an idle position only when a checkpoint is due."""
        for batch in self._assembler.collect(checkpoint=self._checkpoint_due()):
            self._checkpoint_at = time.monotonic()
            self._checkpoint_lsn = batch.position.end_lsn
            self._put(batch)
        self._urgent = False

    def _checkpoint_due(self) -> bool:
        ahead = self._assembler.position.end_lsn - self._checkpoint_lsn
        since = time.monotonic() - self._checkpoint_at
        return ahead > 0 and (
            ahead >= CHECKPOINT_BYTES
            or since >= self._interval
            or (self._urgent and since >= REPLY_PAUSE)
        )

    def _put(self, batch: Batch) -> None:
        """Put a batch on the queue, and call `rest` while it is full; after a stop put nothing."""
        while not self._queue.put(batch, timeout=self._upkeep.pause):
            if self._stopping.is_set():
                self._queue.close()
                return
            if self._queue.closed:
                self._await_end()
                return
            self._upkeep.rest()

    def _await_end(self) -> None:
        """Keep the connection, and with it the lock, until the session ends.

        Called when the publisher has failed. The main thread now asks whether another sidecar has
        taken the lock, and needs this connection for that.
        """
        while not self._stopping.wait(self._upkeep.pause):
            self._upkeep.rest()

    def _feed_keepalive(self, keepalive: PrimaryKeepalive) -> None:
        self._assembler.advance(keepalive.wal_end)
        if keepalive.reply_requested:
            self._upkeep.want_reply()
            self._urgent = keepalive.wal_end > self._acknowledgement.lsn

    def _end(self, released: threading.Event, grace: float) -> None:
        """Free the slot in order, once the main thread needs the lock no more."""
        deadline = time.monotonic() + grace
        while not released.wait(timeout=0.05) and time.monotonic() < deadline:
            self._upkeep.report()
        self._upkeep.send_status()
        self._connection.end(max(1.0, deadline - time.monotonic()))
