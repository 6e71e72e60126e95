"""Reports of the snapshot thread: to the log, the metrics and the status board."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.snapshot.chunk import Chunk
from cdc_sidecar.events.snapshot.progress import SnapshotPhase
from cdc_sidecar.logs import Logger
from cdc_sidecar.metrics import SnapshotMetrics
from cdc_sidecar.runtime.snapshot_board import SnapshotBoard, TableProgress

PAUSE: Final = 10.0
"""Seconds between two lines of the log about the progress of a table."""


class SnapshotReport:
    """Used by the snapshot thread of one session."""

    def __init__(self, log: Logger, metrics: SnapshotMetrics, board: SnapshotBoard) -> None:
        self._log = log
        self._metrics = metrics
        self._board = board
        self._logged_at = 0.0  # time.monotonic() of the last line about progress
        self._ended: int | None = None  # the last table that has ended

    def snapshots_opened(self, states: Iterable[TableSnapshot]) -> None:
        """Show the tables of a session before anything is read."""
        self._board.open(states)
        for progress in self._board.tables:
            self._show_table(progress)
        self._show_all()

    def snapshot_changed(self, state: TableSnapshot) -> None:
        """Show what a request has changed."""
        self._board.move(state)
        self._ended = None
        self._show_table(TableProgress(state))
        self._show_all()

    def chunk_begun(self) -> None:
        """Show since when a transaction reads rows, and holds back vacuum."""
        self._metrics.reading_since = time.monotonic()

    def chunk_ended(self) -> None:
        """Show that none does."""
        self._metrics.reading_since = None

    def snapshot_waits(self, reason: str, whom: Sequence[str] = ()) -> None:
        """Report, once, why nothing is read now."""
        self._metrics.wait(reason)
        if self._board.wait(reason, whom):
            more = {"whom": list(whom)} if whom else {}
            self._log.info("snapshot_waits", reason=reason, **more)

    def chunk_settled(self, chunk: Chunk, state: TableSnapshot) -> None:
        """Report what became of a chunk, and the progress of its table since then."""
        self._board.move(state)
        self._metrics.wait(None)
        seconds = time.monotonic() - chunk.read_at
        self._metrics.settled(state.name, chunk.superseded, seconds, published=chunk.published)
        self._show_table(TableProgress(state))
        self._show_all()
        phase = state.phase
        if state.oid == self._ended:
            return
        if not phase.is_open:
            self._ended = state.oid
        if phase is SnapshotPhase.DONE:
            self._log.info("snapshot_completed", table=state.name, rows=state.rows)
        elif phase is SnapshotPhase.FAILED:
            self._log.error("snapshot_failed", table=state.name, error=state.error, rows=state.rows)
        elif time.monotonic() - self._logged_at >= PAUSE:
            self._logged_at = time.monotonic()
            estimate = max(state.estimate, state.rows)
            self._log.info(
                "snapshot_progress", table=state.name, rows=state.rows, estimated_rows=estimate
            )

    def _show_table(self, progress: TableProgress) -> None:
        state = progress.state
        self._metrics.table(state.name, progress.ratio, len(state.owed))

    def _show_all(self) -> None:
        counts = Counter(table.state.phase for table in self._board.tables)
        self._metrics.phases({phase.value: counts[phase] for phase in SnapshotPhase})
        self._metrics.eta(self._board.eta())

    def snapshot_interrupted(self, error: SidecarError) -> None:
        """Report an error after which reading is tried again."""
        self._log.warning("snapshot_interrupted", code=error.code, fact=error.fact)
