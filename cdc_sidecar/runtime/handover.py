"""The handover between the two threads: batches to the publisher, acknowledged LSNs back."""

import os
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from cdc_sidecar.errors import InternalError
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.postgres.lsn import Lsn, format_lsn
from cdc_sidecar.runtime.backlog import Backlog

_LEAST_WEIGHT: Final = 512
"""Bytes that a batch counts for at least: one that only moves the position takes memory too."""


class BatchQueue:
    """A queue bounded in bytes; a batch larger than the bound enters an empty queue."""

    def __init__(self, bound: int, backlog: Backlog | None = None) -> None:
        self._bound = bound
        self._backlog = backlog or Backlog()
        self._items: deque[Batch] = deque()
        self._size = 0
        self._condition = threading.Condition()
        self._closed = False
        self._broken = False
        self.busy = False
        """Whether more is arriving than one read takes; set by the replication thread."""

    @property
    def size(self) -> int:
        """Bytes in the queue."""
        return self._size

    def put(self, batch: Batch, timeout: float) -> bool:
        """Append a batch; False if there was no room in time, or the queue is closed."""
        with self._condition:
            fits = self._condition.wait_for(lambda: self._has_room(batch) or self._closed, timeout)
            if not fits or self._closed:
                return False
            self._items.append(batch)
            self._resize(_weight(batch))
            return True

    def _has_room(self, batch: Batch) -> bool:
        return not self._items or self._size + _weight(batch) <= self._bound

    def get(self, timeout: float | None) -> Batch | None:
        """Return the next batch; None after `timeout`, or once the queue is over."""
        with self._condition:
            self._condition.wait_for(lambda: self._items or self._closed, timeout)
            if not self._items:
                return None
            batch = self._items.popleft()
            self._resize(-_weight(batch))
            return batch

    def _resize(self, change: int) -> None:
        """Note another size, for the waiting thread and for the gauges."""
        self._size += change
        self._backlog.queue_bytes = self._size
        moments = (batch.commits.first for batch in self._items)
        self._backlog.waiting_since = next(filter(None, moments), None)
        self._condition.notify_all()

    @property
    def holds_rest(self) -> bool:
        """Whether the queue holds the Commit of the source transaction whose part was taken last.

        A part is followed by the other parts of its transaction and by nothing else.
        """
        with self._condition:
            return any(batch.position.partial is None for batch in self._items)

    @property
    def closed(self) -> bool:
        """Whether nothing more will be put."""
        return self._closed

    @property
    def over(self) -> bool:
        """Whether the queue is empty and nothing more will be put."""
        return self._closed and not self._items

    @property
    def broken(self) -> bool:
        """Whether what was put must not be published any more."""
        return self._broken

    def close(self) -> None:
        """Accept nothing more; what is in the queue may still be taken."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def await_close(self, timeout: float) -> bool:
        """Wait until the queue is closed; return whether it is."""
        with self._condition:
            return self._condition.wait_for(lambda: self._closed, timeout)

    def break_off(self) -> None:
        """Discard what is in the queue: nothing more is put and nothing more is published."""
        with self._condition:
            self._broken = self._closed = True
            self._items.clear()
            self._resize(-self._size)


def _weight(batch: Batch) -> int:
    return max(batch.size, _LEAST_WEIGHT)


class Acknowledgement:
    """The last position that Kafka has committed, for the replication thread to report (I3)."""

    def __init__(self, start: Lsn) -> None:
        self._lsn = start
        self._guard = threading.Lock()  # a publisher may outlive the grace period of its session
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    @property
    def lsn(self) -> Lsn:
        """The LSN up to which everything is committed in Kafka."""
        return self._lsn

    @property
    def descriptor(self) -> int:
        """Readable after `advance` or `wake`, until `clear`."""
        return self._descriptor

    def advance(self, lsn: Lsn) -> None:
        """Note that Kafka has committed everything up to `lsn`; called by the publisher alone.

        Raises:
            InternalError: a later LSN was acknowledged before.

        """
        if lsn < self._lsn:
            raise InternalError(f"{format_lsn(lsn)} acknowledged after {format_lsn(self._lsn)}")
        self._lsn = lsn
        self.wake()

    def wake(self) -> None:
        """Wake the replication thread."""
        with self._guard:
            if self._descriptor >= 0:
                os.eventfd_write(self._descriptor, 1)

    def clear(self) -> None:
        """Consume the wake-up."""
        with self._guard, suppress(BlockingIOError):
            if self._descriptor >= 0:
                os.eventfd_read(self._descriptor)

    def close(self) -> None:
        """Free the descriptor; a later `wake` or `clear` does nothing."""
        with self._guard:
            os.close(self._descriptor)
            self._descriptor = -1


@dataclass(frozen=True, slots=True)
class Handover:
    """Queue and acknowledgement of one session, which both of its threads hold."""

    queue: BatchQueue
    acknowledgement: Acknowledgement
