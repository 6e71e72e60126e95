"""The Prometheus metrics: names are public API; counters move when Kafka has committed.

The one owner of prometheus_client. A scrape reads what is in memory and asks nobody.
"""

import time
from collections.abc import Iterator

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

from cdc_sidecar.postgres.slot import DecodedSums, SlotActivity, SlotStatus

_LATENCIES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
_WAL_STATES = ("reserved", "extended", "unreserved", "lost")


class DecodedCounters(Collector):
    """Shows sums that the server keeps, and may reset; nothing before the first look."""

    def __init__(self) -> None:
        self.sums: DecodedSums | None = None

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield one counter for each sum."""
        sums = self.sums
        texts = {
            "decoded_transactions": "decoded for the slot",
            "decoded_bytes": "decoded for the slot",
            "spilled_transactions": "spilled to disk",
            "spills": "times that transactions were spilled to disk",
            "spilled_bytes": "spilled to disk",
        }
        values = (
            {
                "decoded_transactions": sums.transactions,
                "decoded_bytes": sums.bytes,
                "spilled_transactions": sums.spilled_transactions,
                "spills": sums.spills,
                "spilled_bytes": sums.spilled_bytes,
            }
            if sums
            else {}
        )
        for name, text in texts.items():
            yield CounterMetricFamily(f"cdc_sidecar_slot_{name}", text, values.get(name))


class Metrics:
    """All metrics of one sidecar, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.info = Info("cdc_sidecar", "version of the sidecar", registry=self.registry)
        self.events = self._counter("events", "events published", "table", "op")
        self.ignored = self._counter("ignored_changes", "published, not configured", "table")
        self.unchanged = self._counter(
            "unchanged_columns", "TOASTed values that were not sent", "table", "column"
        )
        self.outbox_updates = self._counter("outbox_updates", "updates of outbox rows", "table")
        self.transactions = self._counter("source_transactions", "source transactions published")
        self.kafka_transactions = self._counter(
            "kafka_transactions", "Kafka transactions by outcome", "state"
        )
        self.splits = self._counter("transaction_splits", "source transactions that were split")
        self.fences = self._counter("producer_fences", "times that our producer was fenced")
        self.recycles = self._counter("producer_recycles", "producers replaced after a slow commit")
        self.sessions = self._counter("sessions", "sessions by how they ended", "reason")
        self.commit_seconds = self._histogram(
            "commit_seconds", "flush and commit of a Kafka transaction", _SECONDS
        )
        self.latency = self._histogram(
            "end_to_end_seconds", "commit in Postgres to commit in Kafka", _LATENCIES
        )
        self.queue_bytes = self._gauge("queue_bytes", "waiting between reader and publisher")
        self.lag_seconds = self._gauge(
            "lag_seconds", "age of the oldest change not yet published; 0 when idle"
        )
        self.position = self._gauge("position_lsn_bytes", "LSN up to which all is published")
        self.acknowledged = self._gauge("acknowledged_lsn_bytes", "LSN reported as flushed")
        self.streaming = self._gauge("streaming", "1 while the stream is read")
        self.stalled = self._gauge("stream_stalled", "1 while nothing moves though it should")
        self.slot_retained = self._gauge("slot_retained_bytes", "WAL that the slot holds back")
        self.slot_safe = self._gauge("slot_safe_bytes", "WAL until the slot is in danger")
        self.slot_lag = self._gauge("slot_confirmed_lag_bytes", "WAL not yet confirmed")
        self.slot_status = Gauge(
            "cdc_sidecar_slot_wal_status", "wal_status", ["state"], registry=self.registry
        )
        self.slot_invalidated = Gauge(
            "cdc_sidecar_slot_invalidated", "why", ["reason"], registry=self.registry
        )
        self.slot_seconds_left = self._gauge("slot_seconds_left", "until it may be lost")
        self.slot_inactive = self._gauge("slot_inactive_seconds", "since somebody read the slot")
        self.sent = self._gauge("walsender_sent_lsn_bytes", "LSN up to which all was sent to us")
        self.flushed = self._gauge("walsender_flushed_lsn_bytes", "LSN that the server heard of")
        unknowns = (self.slot_safe, self.slot_seconds_left, self.slot_inactive)
        for unknown in (*unknowns, self.sent, self.flushed):
            unknown.set(float("nan"))
        self.decoded = DecodedCounters()
        self.registry.register(self.decoded)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"cdc_sidecar_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"cdc_sidecar_{name}", text, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"cdc_sidecar_{name}", text, buckets=buckets, registry=self.registry)

    def count_events(self, counts: dict[tuple[str, str], int]) -> None:
        """Count what a committed Kafka transaction held; keys are (table, op or reason)."""
        for (table, op), count in counts.items():
            if op == "ignored":
                self.ignored.labels(table).inc(count)
            elif op == "outbox_update":
                self.outbox_updates.labels(table).inc(count)
            elif op.startswith("unchanged:"):
                self.unchanged.labels(table, op.removeprefix("unchanged:")).inc(count)
            else:
                self.events.labels(table, op).inc(count)

    def set_slot(self, slot: SlotStatus, activity: SlotActivity, seconds_left: float) -> None:
        """Show what the guardian saw."""
        for state in _WAL_STATES:
            self.slot_status.labels(state).set(slot.wal_status == state)
        if slot.invalidation_reason:
            self.slot_invalidated.labels(slot.invalidation_reason).set(1)
        self.slot_retained.set(slot.retained_bytes or 0)
        self.slot_lag.set(slot.confirmed_lag_bytes or 0)
        self.slot_safe.set(float("inf") if slot.safe_wal_size is None else slot.safe_wal_size)
        self.slot_seconds_left.set(seconds_left)
        since, unread = slot.inactive_since, float("nan" if slot.active_pid is None else 0)
        self.slot_inactive.set(unread if since is None else max(0.0, time.time() - since))
        self.decoded.sums = activity.sums
        walsender = activity.walsender
        sent, flushed = (walsender.sent_lsn, walsender.flush_lsn) if walsender else (None, None)
        self.sent.set(float("nan") if sent is None else sent)
        self.flushed.set(float("nan") if flushed is None else flushed)

    def expose(self) -> bytes:
        """Return the text of a scrape."""
        return generate_latest(self.registry)
