"""The progress of the snapshots, for `/status`, the status page and the metrics."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.snapshot.progress import BY_PAGES, SnapshotPhase

_SHOWN: Final = 100
"""Tables that `/status` lists: a person reads no more, and a thousand would be slow to load."""
_MOST: Final = 0.99
"""The progress of a table whose number of rows is only estimated, until it is complete."""


@dataclass(frozen=True, slots=True)
class TableProgress:
    """How far one table is."""

    state: TableSnapshot

    @property
    def ratio(self) -> float:
        """The part that is published, from 0 to 1: by pages exact, by keys from an estimate."""
        state = self.state
        if self.state.phase is SnapshotPhase.DONE:
            return 1.0
        if state.by == BY_PAGES and state.cursor and state.bound and int(state.bound[0]):
            return int(state.cursor[0]) / int(state.bound[0])
        return min(_MOST, state.rows / state.estimate) if state.estimate else 0.0

    @property
    def rows_left(self) -> float:
        """Rows that are not published yet, about."""
        return 0.0 if not self.state.phase.is_open else (1.0 - self.ratio) * self.state.estimate

    def as_json(self) -> dict[str, Any]:
        """Return the progress of a table, as `/status` has it."""
        state = self.state
        return {
            "table": state.name,
            "phase": state.phase,
            "rows": state.rows,
            "estimated_rows": max(state.estimate, state.rows),
            "ratio": round(self.ratio, 4),
            "paused": state.paused,
            "owed": len(state.owed),
            "generation": state.generation,
            "error": state.error or None,
        }


class SnapshotBoard:
    """What the snapshot thread reports and HTTP shows; no row value is in it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._tables: dict[int, TableProgress] = {}
        self._waits: tuple[str, tuple[str, ...]] | None = None
        self._began: tuple[float, int] | None = None  # when reading began, and the rows by then

    def open(self, states: Iterable[TableSnapshot]) -> None:
        """Show the tables of a session; those that ended in an earlier one stay."""
        with self._guard:
            self._tables |= {state.oid: TableProgress(state) for state in states}
            self._began = None

    def move(self, state: TableSnapshot) -> None:
        """Show the progress of a table; it is read now, and nothing waits."""
        with self._guard:
            self._tables[state.oid] = TableProgress(state)
            self._waits = None
            self._began = self._began or (time.monotonic(), self._rows)

    def wait(self, reason: str, whom: Sequence[str]) -> bool:
        """Show why nothing is read; return whether that is new."""
        with self._guard:
            known = self._waits is not None and self._waits[0] == reason
            self._waits = (reason, tuple(whom))
            return not known

    @property
    def _rows(self) -> int:
        return sum(progress.state.rows for progress in self._tables.values())

    @property
    def tables(self) -> list[TableProgress]:
        """Every table of this process, in the order in which they are read."""
        with self._guard:
            return list(self._tables.values())

    def rate(self) -> float:
        """Return the rows that were published in a second since reading began."""
        with self._guard:
            if self._began is None:
                return 0.0
            since, rows = self._began
            return max(0, self._rows - rows) / max(1.0, time.monotonic() - since)

    def eta(self) -> float | None:
        """Return the seconds until everything is read, about; None if that is not known."""
        left = sum(progress.rows_left for progress in self.tables)
        unknown = any(p.state.phase.is_open and not p.state.estimate for p in self.tables)
        rate = self.rate()
        return None if unknown or (left and not rate) else left / max(rate, 1e-9)

    def as_json(self) -> dict[str, Any] | None:
        """Return the part of `/status` about snapshots; None if this process has had none."""
        tables = self.tables
        if not tables:
            return None
        is_open = any(progress.state.phase.is_open for progress in tables)
        eta, waits = (self.eta(), self._waits) if is_open else (None, None)
        shown = sorted(tables, key=lambda progress: not progress.state.phase.is_open)[:_SHOWN]
        return {
            "running": is_open,
            "tables": [progress.as_json() for progress in shown],
            "phases": dict(Counter(progress.state.phase for progress in tables)),
            "rows_per_second": round(self.rate()) if is_open else None,
            "eta_seconds": None if eta is None else round(eta),
            "waits": {"for": waits[0], "whom": list(waits[1])} if waits else None,
        }
