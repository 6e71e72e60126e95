"""The thread that writes the log, so that no other thread waits for a reader of the log or a disk.

A line is dropped and counted if the queue is full or if it cannot be written.
"""

import os
import select
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any, Final

Event = Mapping[str, Any]

QUEUE: Final = 1000
"""Lines that wait at most: the story of a day at level `info`, and less than a megabyte."""
RESERVE: Final = 100
"""Further lines that only errors may take: the line that says why the process ends is one."""
_URGENT: Final = frozenset({"error", "critical"})
_UNWRITABLE: Final = (OSError, ValueError, TypeError, RecursionError, MemoryError)
"""What a line that cannot be rendered or written raises: a full disk, a pipe that nobody reads."""


class LogWriter:
    """Writes events to a descriptor in a thread of its own; any thread may call `put`.

    `render` makes a line of an event. `summarize` makes an event that reports the number of lines
    that were dropped; it is written once lines can be written again.
    """

    def __init__(
        self,
        descriptor: int,
        render: Callable[[Event], str],
        summarize: Callable[[int], Event],
    ) -> None:
        self._descriptor = descriptor
        self._render = render
        self._summarize = summarize
        # its `put` never waits and may be called again by a finalizer that interrupts it
        self._queue: SimpleQueue[Event | threading.Event] = SimpleQueue()
        self._counting = threading.RLock()
        self._dropped = 0
        self._written: Counter[str] = Counter()
        self._reported = 0  # of the dropped lines
        self._torn = False  # the last write ended inside a line
        self._thread = self._started()

    def _started(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="log", daemon=True)
        thread.start()
        return thread

    @property
    def written(self) -> dict[str, float]:
        """How many lines were written so far, by level."""
        return {level: float(count) for level, count in self._written.copy().items()}

    @property
    def dropped(self) -> int:
        """How many lines were dropped so far."""
        return self._dropped

    def put(self, event: Event) -> None:
        """Hand on an event; never waits and never raises."""
        room = QUEUE + RESERVE if event.get("level") in _URGENT else QUEUE
        if self._queue.qsize() < room:
            self._queue.put(event)
        else:
            self._count_drop()

    def flush(self, timeout: float) -> bool:
        """Wait until everything that was put is written or dropped; return whether it is.

        A thread that has died is replaced: its death is among the last things to be said.
        """
        if not self._thread.is_alive():
            self._thread = self._started()
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout)

    def _count_drop(self) -> None:
        with self._counting:
            self._dropped += 1

    def _run(self) -> None:
        while True:
            event = self._queue.get()
            if isinstance(event, threading.Event):
                self._report_drops()
                event.set()
            elif self._write(event) and self._queue.empty():
                self._report_drops()

    def _report_drops(self) -> None:
        missing = self._dropped - self._reported
        if missing and self._write(self._summarize(missing)):
            self._reported += missing

    def _write(self, event: Event) -> bool:
        """Write a line; return whether that was possible."""
        try:
            self._write_whole(self._render(event).encode(errors="backslashreplace") + b"\n")
        except _UNWRITABLE:
            self._count_drop()
            return False
        self._written[str(event.get("level", ""))] += 1
        return True

    def _write_whole(self, line: bytes) -> None:
        """Write a line; a line that was torn before is ended first."""
        left = memoryview(b"\n" + line if self._torn else line)
        while left:
            try:
                written = os.write(self._descriptor, left)
            except BlockingIOError:  # the parent has made the pipe non-blocking
                self._await_room()
                continue
            left = left[written:]
            self._torn = bool(left)

    def _await_room(self) -> None:
        room = select.poll()
        room.register(self._descriptor, select.POLLOUT)
        room.poll()
