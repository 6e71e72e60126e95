"""Reports of the snapshot thread: to the log, and what waits to the status."""

import time
from collections.abc import Sequence
from typing import Final

from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.snapshot.progress import SnapshotPhase
from cdc_sidecar.logs import Logger

PAUSE: Final = 10.0
"""Seconds between two lines of the log about the progress of a table."""


class SnapshotReport:
    """Used by the snapshot thread of one session."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._logged_at = 0.0  # time.monotonic() of the last line about progress
        self._waits: str | None = None
        self._ended: int | None = None  # the last table that has ended

    def snapshot_waits(self, reason: str, whom: Sequence[str] = ()) -> None:
        """Report, once, why nothing is read now."""
        if reason != self._waits:
            self._log.info(
                "snapshot_waits", reason=reason, **({"whom": list(whom)} if whom else {})
            )
        self._waits = reason

    def snapshot_moved(self, state: TableSnapshot) -> None:
        """Report the progress of a table: seldom, and when it ends."""
        self._waits = None
        phase = SnapshotPhase(state.phase)
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

    def snapshot_interrupted(self, error: SidecarError) -> None:
        """Report an error after which reading is tried again."""
        self._log.warning("snapshot_interrupted", code=error.code, fact=error.fact)
