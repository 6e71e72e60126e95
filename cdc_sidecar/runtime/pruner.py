"""The pruner thread: removes rows of outboxes once they are published and old enough."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.outbox_rows import Mark, OutboxRows, read_mark
from cdc_sidecar.postgres.sql_names import quoted_table
from cdc_sidecar.runtime.crash import CrashGuard

_MARKS: Final = 10
"""Marks within the age of an outbox: rows are removed at most a tenth of it later."""
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

    def __init__(self, table: str, outbox: Outbox) -> None:
        self.table = table
        self.age = outbox.prune or 0.0
        timestamp = outbox.columns.by_role.get("timestamp")
        self._rows = OutboxRows(quoted_table(table), timestamp[0] if timestamp else None, self.age)
        self._wait = 0.0 if timestamp else self.age
        self._marks: deque[tuple[float, Mark]] = deque()

    def prune(self, database: Database, acknowledged: Lsn, now: float) -> tuple[int, int]:
        """Set a mark, and remove the rows below the newest one that is old and published.

        Raises:
            SidecarError: the server is not available, or refuses.

        """
        with database.connection() as connection:
            self._marks.append((now, read_mark(connection)))
            mark = self._take(acknowledged, now)
            if mark is None:
                return 0, 0
            return self._rows.prune(connection, mark)

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


class Pruner:
    """Prunes the outboxes of a session; `run` is its thread."""

    def __init__(
        self,
        outboxes: Sequence[Outbox],
        database: Database,
        acknowledged: Callable[[], Lsn],
        telemetry: PrunerTelemetry,
        fail: Callable[[SidecarError], None],
    ) -> None:
        """Remove rows below `acknowledged`: what is committed in Kafka and reported to Postgres."""
        self._outboxes = [PrunedOutbox(box.table, box) for box in outboxes if box.table]
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
                while not self._stopping.wait(self._pause):
                    for outbox in self._outboxes:
                        self._prune(outbox)
        except SidecarError as error:
            self._fail(error)

    def _prune(self, outbox: PrunedOutbox) -> None:
        try:
            done = outbox.prune(self._database, self._acknowledged(), time.monotonic())
        except SidecarError as error:
            if not self._stopping.is_set():  # the connection is closed at the end of a session
                self._telemetry.prune_failed(outbox.table, error)
            return
        self._telemetry.rows_pruned(outbox.table, *done)
