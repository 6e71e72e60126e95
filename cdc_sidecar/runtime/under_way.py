"""The chunks under way: those that are read, and whose markers the stream has not met yet."""

from collections import deque
from collections.abc import Callable
from typing import Final

from cdc_sidecar.config.model import Snapshot
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.snapshot.chunk import Chunk
from cdc_sidecar.events.snapshot.progress import SnapshotPhase
from cdc_sidecar.events.snapshot.window import SnapshotWindow

_AT_LEAST: Final = 2
"""Chunks of any size: one is read while the other one passes through the stream."""
_AT_MOST: Final = 50
"""Chunks of small tables: they share a Kafka transaction, and wait together for the first record of
each topic, which is slow."""


class UnderWay:
    """A queue of chunks of any tables, in the order of their markers."""

    def __init__(self, window: SnapshotWindow, settings: Snapshot) -> None:
        self._window = window
        self._settings = settings
        self._chunks: deque[Chunk] = deque()
        self._broken: set[int] = set()  # tables with a chunk that was not published

    def __len__(self) -> int:
        return len(self._chunks)

    @property
    def is_full(self) -> bool:
        """Whether no more may be read now: memory holds two chunks, or many small ones."""
        if len(self._chunks) < _AT_LEAST:
            return False
        return (
            len(self._chunks) >= _AT_MOST
            or sum(len(chunk.rows) for chunk in self._chunks) >= self._settings.chunk_rows
            or sum(chunk.size for chunk in self._chunks) >= self._settings.chunk_bytes
        )

    def before_next(self, oid: int) -> TableSnapshot | None:
        """Return the progress that the next chunk of a table follows.

        None if it must first be known what becomes of the table's chunks under way.
        """
        last = next((chunk for chunk in reversed(self._chunks) if chunk.oid == oid), None)
        if last is None:
            return self._window.state(oid)
        if oid in self._broken or last.after.phase is not SnapshotPhase.READING:
            return None
        return last.after

    def add(self, chunk: Chunk) -> None:
        """Add a chunk whose marker is committed."""
        self._chunks.append(chunk)

    def await_oldest(self, timeout: float, stopped: Callable[[], bool]) -> Chunk | None:
        """Wait until the oldest chunk is settled, and return it; None if stopped sooner."""
        chunk = self._chunks[0]
        while not chunk.settled.wait(timeout):
            if stopped():
                return None
        self._chunks.popleft()
        others = any(other.oid == chunk.oid for other in self._chunks)
        if not others:
            self._broken.discard(chunk.oid)
        elif not chunk.published:
            self._broken.add(chunk.oid)
        return chunk

    def withdraw(self) -> None:
        """Give up the chunks whose markers the stream has not met."""
        for chunk in self._chunks:
            self._window.withdraw(chunk)
