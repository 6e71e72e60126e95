"""What stands between the replication thread and the publisher: batches one way, LSNs back."""

import os
import threading
from collections import deque
from typing import Final

from cdc_sidecar.events.batch import Batch
from cdc_sidecar.postgres.lsn import Lsn

_LEAST_WEIGHT: Final = 512  # bytes: a batch without records takes room too


class BatchQueue:
    """A queue bounded in bytes; a batch larger than the bound enters alone."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._items: deque[Batch] = deque()
        self._size = 0
        self._condition = threading.Condition()
        self._closed = False
        self._broken = False
        self.busy = False
        """Whether more is on its way than the reader takes at once; set by the reader."""

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._size

    def put(self, batch: Batch, timeout: float) -> bool:
        """Append a batch; False when there was no room in time, or the queue is closed."""
        with self._condition:
            fits = self._condition.wait_for(lambda: self._has_room(batch) or self._closed, timeout)
            if not fits or self._closed:
                return False
            self._items.append(batch)
            self._size += _weight(batch)
            self._condition.notify_all()
            return True

    def _has_room(self, batch: Batch) -> bool:
        return not self._items or self._size + _weight(batch) <= self._bound

    def get(self, timeout: float | None) -> Batch | None:
        """Return the next batch; None at the time-out, or when `over` holds."""
        with self._condition:
            self._condition.wait_for(lambda: self._items or self._closed, timeout)
            if not self._items:
                return None
            batch = self._items.popleft()
            self._size -= _weight(batch)
            self._condition.notify_all()
            return batch

    @property
    def holds_rest(self) -> bool:
        """Whether the Commit of the source transaction whose part was taken last waits here.

        Behind a part come the others of its transaction, and nothing else before the last.
        """
        with self._condition:
            return any(batch.position.partial is None for batch in self._items)

    @property
    def oldest(self) -> int | None:
        """When the first transaction that waits was committed, in microseconds since 1970."""
        try:
            return self._items[0].commit_time or None
        except IndexError:
            return None

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._closed

    @property
    def over(self) -> bool:
        """Whether nothing waits and nothing more will come."""
        return self._closed and not self._items

    @property
    def broken(self) -> bool:
        """Whether what was put is not wanted any more."""
        return self._broken

    def close(self) -> None:
        """Say that nothing more will be put; what waits may still be taken."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def await_close(self, timeout: float) -> bool:
        """Wait until it is closed; tell whether it is."""
        with self._condition:
            return self._condition.wait_for(lambda: self._closed, timeout)

    def break_off(self) -> None:
        """Throw away what waits: nothing more is put, and nothing more is published."""
        with self._condition:
            self._broken = self._closed = True
            self._items.clear()
            self._size = 0
            self._condition.notify_all()


def _weight(batch: Batch) -> int:
    return max(batch.size, _LEAST_WEIGHT)


class Acknowledgement:
    """The last position that is committed in Kafka, for the replication thread to report (I3)."""

    def __init__(self, start: Lsn) -> None:
        self._lsn = start
        self._guard = threading.Lock()  # a publisher may outlive its session's grace period
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    @property
    def lsn(self) -> Lsn:
        """Everything at or below is committed in Kafka."""
        return self._lsn

    @property
    def descriptor(self) -> int:
        """Readable after `publish` or `wake`, until `clear`."""
        return self._descriptor

    def publish(self, lsn: Lsn) -> None:
        """Say that Kafka has committed up to `lsn`; called by the publisher alone."""
        self._lsn = lsn
        self.wake()

    def wake(self) -> None:
        """Wake the replication thread."""
        with self._guard:
            if self._descriptor >= 0:
                os.eventfd_write(self._descriptor, 1)

    def clear(self) -> None:
        """Take the wake-up."""
        try:
            os.eventfd_read(self._descriptor)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Free the descriptor; a later `wake` does nothing."""
        with self._guard:
            os.close(self._descriptor)
            self._descriptor = -1
