"""The metrics of snapshots; the rows are among the events, with op `r`."""

import time
from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry

from cdc_sidecar.metrics.durations import WeightedHistogram
from cdc_sidecar.metrics.registry import UNKNOWN, Maker

_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
"""Buckets in seconds, from reading a chunk to its place in the stream."""

_CHUNKS: Final = ("published", "discarded")
_REASONS: Final = ("fence", "lag")
"""Why nothing is read."""


class SnapshotMetrics:
    """The metrics of snapshots; the rows are among the events, with op `r`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        make = Maker(registry)
        self._tables = make.gauge("snapshot_tables", "tables by phase of their snapshot", "state")
        self._ratio = make.gauge("snapshot_progress_ratio", "part that is published", "table")
        self._owed = make.gauge("snapshot_owed_rows", "rows that must be read again", "table")
        self._superseded = make.counter(
            "snapshot_superseded", "rows left out because they had changed", "table"
        )
        self._chunks = make.counter("snapshot_chunks", "chunks by what became of them", "state")
        self._seconds = WeightedHistogram(
            "snapshot_chunk_seconds", "seconds from reading a chunk to its place", _SECONDS
        )
        registry.register(self._seconds)
        self._eta = make.unknown("snapshot_eta_seconds", "seconds until everything is read")
        self._waiting = make.gauge("snapshot_waiting", "1 while nothing is read, and why", "reason")
        self.reading_since: float | None = None
        """When the transaction began that reads rows now, on the monotonic clock."""
        oldest = make.gauge("snapshot_oldest_xmin_seconds", "age of a transaction that reads rows")
        oldest.set_function(self._age)
        self._reason: str | None = None
        for state in _CHUNKS:
            self._chunks.labels(state)
        for reason in _REASONS:
            self._waiting.labels(reason)

    def _age(self) -> float:
        since = self.reading_since
        return 0.0 if since is None else time.monotonic() - since

    def expect(self, table: str) -> None:
        """Show a table before its first chunk."""
        self._superseded.labels(table)

    def phases(self, counts: Mapping[str, int]) -> None:
        """Show how many tables are in each phase."""
        for phase, count in counts.items():
            self._tables.labels(phase).set(count)

    def table(self, name: str, ratio: float, owed: int) -> None:
        """Show the progress of a table."""
        self._ratio.labels(name).set(ratio)
        self._owed.labels(name).set(owed)

    def settled(self, table: str, superseded: int, seconds: float, *, published: bool) -> None:
        """Count a chunk."""
        self._chunks.labels(_CHUNKS[not published]).inc()
        self._seconds.observe(seconds)
        if superseded:
            self._superseded.labels(table).inc(superseded)

    def eta(self, seconds: float | None) -> None:
        """Show how long it still takes; None is unknown."""
        self._eta.set(UNKNOWN if seconds is None else seconds)

    def wait(self, reason: str | None) -> None:
        """Show why nothing is read; None while something is."""
        if self._reason:
            self._waiting.labels(self._reason).set(0)
        if reason:
            self._waiting.labels(reason).set(1)
        self._reason = reason
