"""The Prometheus metrics: names are public API, and counters move after Kafka has committed.

Only this module uses prometheus_client. A scrape reads values in memory and sends no request.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from cdc_sidecar.events.counts import Counted, Counts
from cdc_sidecar.postgres.slot import DecodedSums, SlotActivity, SlotStatus

_LATENCIES: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Buckets in seconds: from the best latency that was measured to an outage of five minutes."""
_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
"""Buckets in seconds: a commit takes 3 to 5 ms, and its default time-out is five minutes."""
_WAL_STATES: Final = ("reserved", "extended", "unreserved", "lost")
"""The values of `pg_replication_slots.wal_status`."""
_EVENT_TYPES: Final = 200
"""Event types of outboxes that have series of their own."""
_OTHER_TYPES: Final = "other"
_UNKNOWN: Final = float("nan")
"""The value of a gauge whose source could not be read."""


class _Maker:
    """Makes metrics with our prefix in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"cdc_sidecar_{name}", text, labels, registry=self._registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"cdc_sidecar_{name}", text, labels, registry=self._registry)

    def unknown(self, name: str, text: str) -> Gauge:
        gauge = self.gauge(name, text)
        gauge.set(_UNKNOWN)
        return gauge

    def histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"cdc_sidecar_{name}", text, buckets=buckets, registry=self._registry)


class ReadCounter(Collector):
    """A counter whose value is kept elsewhere; `read` returns it."""

    def __init__(self, name: str, text: str) -> None:
        self._name = f"cdc_sidecar_{name}"
        self._text = text
        self.read: Callable[[], float] = lambda: 0.0

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counter."""
        yield CounterMetricFamily(self._name, self._text, self.read())


class DecodedCounters(Collector):
    """Shows sums that the server keeps and may reset; they have no value before the first look."""

    _TEXTS: Final = {
        "decoded_transactions": "decoded for the slot",
        "decoded_bytes": "decoded for the slot",
        "spilled_transactions": "spilled to disk",
        "spills": "times that transactions were spilled to disk",
        "spilled_bytes": "spilled to disk",
    }

    def __init__(self) -> None:
        self.sums: DecodedSums | None = None

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield one counter for each sum."""
        values = _values(self.sums) if self.sums else {}
        for name, text in self._TEXTS.items():
            yield CounterMetricFamily(f"cdc_sidecar_slot_{name}", text, values.get(name))


def _values(sums: DecodedSums) -> dict[str, int]:
    return {
        "decoded_transactions": sums.transactions,
        "decoded_bytes": sums.bytes,
        "spilled_transactions": sums.spilled_transactions,
        "spills": sums.spills,
        "spilled_bytes": sums.spilled_bytes,
    }


class SlotMetrics:
    """The metrics of the slot and of the walsender that reads it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        make = _Maker(registry)
        self._retained = make.gauge("slot_retained_bytes", "WAL that the slot retains")
        self._safe = make.unknown("slot_safe_bytes", "WAL until the slot is in danger")
        self._lag = make.gauge("slot_confirmed_lag_bytes", "WAL that is not yet confirmed")
        self._status = make.gauge("slot_wal_status", "wal_status", "state")
        self._invalidated = make.gauge("slot_invalidated", "why", "reason")
        self._seconds_left = make.unknown("slot_seconds_left", "seconds until the slot may be lost")
        self._inactive = make.unknown(
            "slot_inactive_seconds", "seconds since the slot was last read"
        )
        self._sent = make.unknown(
            "walsender_sent_lsn_bytes", "LSN up to which the server has sent WAL"
        )
        self._flushed = make.unknown(
            "walsender_flushed_lsn_bytes", "LSN that was reported to the server as flushed"
        )
        self._decoded = DecodedCounters()
        registry.register(self._decoded)

    def show(self, slot: SlotStatus, activity: SlotActivity, seconds_left: float) -> None:
        """Show what the guardian saw."""
        for state in _WAL_STATES:
            self._status.labels(state).set(slot.wal_status == state)
        if slot.invalidation_reason:
            self._invalidated.labels(slot.invalidation_reason).set(1)
        self._retained.set(slot.retained_bytes or 0)
        self._lag.set(slot.confirmed_lag_bytes or 0)
        self._safe.set(float("inf") if slot.safe_wal_size is None else slot.safe_wal_size)
        self._seconds_left.set(seconds_left)
        since, unread = slot.inactive_since, _UNKNOWN if slot.active_pid is None else 0
        self._inactive.set(unread if since is None else max(0.0, time.time() - since))
        self._show_activity(activity)

    def _show_activity(self, activity: SlotActivity) -> None:
        self._decoded.sums = activity.sums
        walsender = activity.walsender
        sent, flushed = (walsender.sent_lsn, walsender.flush_lsn) if walsender else (None, None)
        self._sent.set(_UNKNOWN if sent is None else sent)
        self._flushed.set(_UNKNOWN if flushed is None else flushed)


class SnapshotMetrics:
    """The metrics of snapshots; the rows are among the events, with op `r`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        make = _Maker(registry)
        self._tables = make.gauge("snapshot_tables", "tables by phase of their snapshot", "state")
        self._ratio = make.gauge("snapshot_progress_ratio", "part that is published", "table")
        self._owed = make.gauge("snapshot_owed_rows", "rows that must be read again", "table")
        self._superseded = make.counter(
            "snapshot_superseded", "rows left out because they had changed", "table"
        )
        self._chunks = make.counter("snapshot_chunks", "chunks by what became of them", "state")
        self._seconds = make.histogram(
            "snapshot_chunk_seconds", "seconds from reading a chunk to its place", _SECONDS
        )
        self._eta = make.unknown("snapshot_eta_seconds", "seconds until everything is read")
        self._waiting = make.gauge("snapshot_waiting", "1 while nothing is read, and why", "reason")
        self._reason: str | None = None

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
        self._chunks.labels("published" if published else "discarded").inc()
        self._seconds.observe(seconds)
        if superseded:
            self._superseded.labels(table).inc(superseded)

    def eta(self, seconds: float | None) -> None:
        """Show how long it still takes; None is unknown."""
        self._eta.set(_UNKNOWN if seconds is None else seconds)

    def wait(self, reason: str | None) -> None:
        """Show why nothing is read; None while something is."""
        if self._reason:
            self._waiting.labels(self._reason).set(0)
        if reason:
            self._waiting.labels(reason).set(1)
        self._reason = reason


class OutboxMetrics:
    """The metrics of outboxes, by event type; the number of types is bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        make = _Maker(registry)
        self.updates = make.counter("outbox_updates", "updates of outbox rows", "table")
        labels = ("table", "event_type")
        self._events = make.counter("outbox_events", "events published, by type", *labels)
        self._invalid = make.counter("outbox_invalid_events", "events that were refused", *labels)
        self._lag = make.gauge(
            "outbox_lag_seconds", "from the commit in Postgres to that in Kafka, at last", *labels
        )
        self._pruned = make.counter("outbox_pruned_rows", "rows deleted after publication", "table")
        self._types: set[tuple[str, str]] = set()

    def _bounded(self, table: str, event_type: str) -> tuple[str, str]:
        """Return the labels of an event type; those beyond the limit share one."""
        if (table, event_type) not in self._types:
            if len(self._types) >= _EVENT_TYPES:
                return table, _OTHER_TYPES
            self._types.add((table, event_type))
        return table, event_type

    def published(self, table: str, event_type: str, count: int) -> None:
        """Count events of one type."""
        self._events.labels(*self._bounded(table, event_type)).inc(count)

    def late(self, counts: Counts, seconds: float) -> None:
        """Show how long the newest event took of each type that was published."""
        for counted, table, event_type in counts:
            if counted is Counted.OUTBOX_EVENTS:
                self._lag.labels(*self._bounded(table, event_type)).set(seconds)

    def refused(self, table: str, event_type: str) -> None:
        """Count an event that cannot be published."""
        self._invalid.labels(*self._bounded(table, event_type)).inc()

    def pruned(self, table: str, rows: int) -> None:
        """Count rows that were deleted after their publication."""
        self._pruned.labels(table).inc(rows)


class Metrics:
    """All metrics of one sidecar, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.info = Info("cdc_sidecar", "version of the sidecar", registry=self.registry)
        make = _Maker(self.registry)
        self._make_counters(make)
        self._make_gauges(make)
        self.commit_seconds = make.histogram(
            "commit_seconds", "seconds for flush and commit of a Kafka transaction", _SECONDS
        )
        self.latency = make.histogram(
            "end_to_end_seconds",
            "seconds from the commit in Postgres to the commit in Kafka",
            _LATENCIES,
        )
        self.slot = SlotMetrics(self.registry)
        self.snapshot = SnapshotMetrics(self.registry)
        self.outbox = OutboxMetrics(self.registry)

    def _make_counters(self, make: _Maker) -> None:
        self.events = make.counter("events", "events published", "table", "op")
        self.ignored = make.counter(
            "ignored_changes", "changes of published tables that are not configured", "table"
        )
        self.unchanged = make.counter(
            "unchanged_columns", "TOASTed values that were not sent", "table", "column"
        )
        self.truncates = make.counter("skipped_truncates", "truncates that were not sent", "table")
        self.transactions = make.counter("source_transactions", "source transactions published")
        self.kafka_transactions = make.counter(
            "kafka_transactions", "Kafka transactions by outcome", "state"
        )
        self.splits = make.counter("transaction_splits", "source transactions that were split")
        self.fences = make.counter("producer_fences", "times that our producer was fenced")
        self.recycles = make.counter("producer_recycles", "producers replaced after a slow commit")
        self.log_lines_dropped = ReadCounter("log_lines_dropped", "log lines that were not written")
        self.registry.register(self.log_lines_dropped)
        self.sessions = make.counter("sessions", "sessions by the error that ended them", "reason")

    def _make_gauges(self, make: _Maker) -> None:
        self.queue_bytes = make.gauge("queue_bytes", "bytes that wait between reader and publisher")
        self.lag_seconds = make.gauge(
            "lag_seconds", "age of the oldest change not yet published; 0 when idle"
        )
        self.position = make.gauge("position_lsn_bytes", "LSN up to which everything is published")
        self.acknowledged = make.gauge("acknowledged_lsn_bytes", "LSN reported as flushed")
        self.streaming = make.gauge("streaming", "1 while the stream is read")
        self.stalled = make.gauge(
            "stream_stalled", "1 while the stream makes no progress although it should"
        )

    def count_events(self, counts: Counts) -> None:
        """Count what a committed Kafka transaction held."""
        for (counted, table, detail), count in counts.items():
            match counted:
                case Counted.EVENTS:
                    self.events.labels(table, detail).inc(count)
                case Counted.IGNORED:
                    self.ignored.labels(table).inc(count)
                case Counted.UNCHANGED:
                    self.unchanged.labels(table, detail).inc(count)
                case Counted.SKIPPED_TRUNCATES:
                    self.truncates.labels(table).inc(count)
                case Counted.OUTBOX_UPDATES:
                    self.outbox.updates.labels(table).inc(count)
                case Counted.OUTBOX_EVENTS:
                    self._count_outbox(table, detail, count)

    def _count_outbox(self, table: str, event_type: str, count: int) -> None:
        self.events.labels(table, "outbox").inc(count)
        self.outbox.published(table, event_type, count)

    def expose(self) -> bytes:
        """Return the text of a scrape."""
        return generate_latest(self.registry)
