"""The pruner thread: removes rows of outboxes once they are published and old enough."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.postgres.connect import Connection, Database
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.outbox_rows import Mark, OutboxRows, read_mark
from cdc_sidecar.runtime.crash import CrashGuard

_MARKS: Final = 10
"""Marks within the age of an outbox: rows are removed at most a tenth of it later."""
_MOST_MARKS: Final = (
    10_000  # while Kafka is away; the oldest are dropped then, and newer ones serve
)
_SHARE: Final = 10  # a pause is at least so many times as long as the turn before it
_LEAST: Final = 1.0
_MOST: Final = 60.0
"""Seconds between two turns, at least and at most."""


class PrunerTelemetry(Protocol):
    """Receives the reports of the pruner thread."""

    def rows_pruned(self, table: str, rows: int, partitions: int) -> None:
        """Report rows that were deleted, and partitions that were dropped."""

    def prune_failed(self, table: str, error: SidecarError) -> None:
        """Report that rows could not be removed; the next turn tries again."""


class PrunedOutbox:
    """One outbox that is pruned, and the marks of the past.

    Without a column that shows the age of a row, a row is as old as the newest mark that is above
    it. The marks are not kept over a restart, so pruning begins again an age later.
    """

    def __init__(self, table: str, outbox: Outbox, since: int) -> None:
        self.table = table
        self.age = outbox.prune or 0.0
        self._rows = OutboxRows.of(outbox, self.age, since)
        self._wait = 0.0 if outbox.columns.timestamp else self.age
        self._apart = self.age / _MARKS
        self._marks: deque[tuple[float, Mark]] = deque(maxlen=_MOST_MARKS)

    def prune(
        self, connection: Connection, acknowledged: Lsn, now: float, stopping: Callable[[], bool]
    ) -> tuple[int, int]:
        """Set a mark, and remove the rows below the newest one that is old and published.

        Raises:
            PruneRefused: the table does not allow it.
            psycopg.Error: the server is not available, or refuses.

        """
        if not self._marks or now - self._marks[-1][0] >= self._apart:
            self._marks.append((now, read_mark(connection)))
        mark = self._take(acknowledged, now)
        if mark is None:
            return 0, 0
        return self._rows.prune(connection, mark, stopping)

    def forget(self) -> None:
        """Drop the marks: they are of another server."""
        self._marks.clear()

    def _take(self, acknowledged: Lsn, now: float) -> Mark | None:
        """Take the newest mark that is old enough and acknowledged, and drop those before it."""
        found = None
        while self._marks:
            at, mark = self._marks[0]
            if now - at < self._wait or mark.lsn > acknowledged:
                break
            found = mark
            self._marks.popleft()
        return found


def pruned_outboxes(outboxes: Iterable[Outbox], since: Mapping[str, int]) -> list[PrunedOutbox]:
    """Return those with `prune`; `since` has the first transaction that each captures, by table."""
    return [
        PrunedOutbox(outbox.table, outbox, since.get(outbox.table, 0))
        for outbox in outboxes
        if outbox.prune and outbox.table
    ]


class Pruner:
    """Prunes the outboxes of a session; `run` is its thread."""

    def __init__(
        self,
        outboxes: Sequence[PrunedOutbox],
        database: Database,
        is_streamed: Callable[[Connection], bool],
        acknowledged: Callable[[], Lsn],
        telemetry: PrunerTelemetry,
        fail: Callable[[SidecarError], None],
    ) -> None:
        """Remove rows below `acknowledged`: what is committed in Kafka and reported to Postgres.

        `is_streamed` tells whether a connection leads to the server that the stream comes from.
        """
        self._outboxes = outboxes
        self._is_streamed = is_streamed
        self._database = database
        self._acknowledged = acknowledged
        self._telemetry = telemetry
        self._fail = fail
        self._stopping = threading.Event()
        shortest = min((outbox.age for outbox in self._outboxes), default=_MOST)
        self._pause = max(_LEAST, min(shortest / _MARKS, _MOST))

    def stop(self) -> None:
        """Begin no further turn."""
        self._stopping.set()

    def run(self) -> None:
        """Prune until stopped."""
        try:
            with CrashGuard():
                pause = self._pause
                while not self._stopping.wait(pause):
                    begun = time.monotonic()
                    for outbox in self._outboxes:
                        self._prune(outbox)
                    pause = max(self._pause, _SHARE * (time.monotonic() - begun))
        except SidecarError as error:
            self._fail(error)

    def _prune(self, outbox: PrunedOutbox) -> None:
        try:
            with self._database.connection() as connection:
                if not self._is_streamed(connection):
                    outbox.forget()
                    return
                done = outbox.prune(
                    connection, self._acknowledged(), time.monotonic(), self._stopping.is_set
                )
        except SidecarError as error:
            if not self._stopping.is_set():  # the connection is closed at the end of a session
                self._telemetry.prune_failed(outbox.table, error)
            return
        self._telemetry.rows_pruned(outbox.table, *done)
