"""The Prometheus metrics: names are public API; counters move when Kafka has committed.

The one owner of prometheus_client. A scrape reads what is in memory and asks nobody.
"""

import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)

from cdc_sidecar.postgres.slot import SlotStatus

_LATENCIES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
_WAL_STATES = ("reserved", "extended", "unreserved", "lost")


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
        self.slot_retained = self._gauge("slot_retained_bytes", "WAL that the slot holds back")
        self.slot_safe = self._gauge("slot_safe_bytes", "WAL until the slot is in danger")
        self.slot_lag = self._gauge("slot_confirmed_lag_bytes", "WAL not yet confirmed")
        self.slot_status = Gauge(
            "cdc_sidecar_slot_wal_status", "wal_status", ["state"], registry=self.registry
        )

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

    def count_lag_from(self, moment: float) -> None:
        """Let the lag grow from `moment` on: nothing is read until the next stream begins."""
        self.lag_seconds.set_function(lambda: max(0.0, time.time() - moment))

    def set_slot(self, slot: SlotStatus) -> None:
        """Show what the guardian saw."""
        for state in _WAL_STATES:
            self.slot_status.labels(state).set(slot.wal_status == state)
        self.slot_retained.set(slot.retained_bytes or 0)
        self.slot_lag.set(slot.confirmed_lag_bytes or 0)
        self.slot_safe.set(float("inf") if slot.safe_wal_size is None else slot.safe_wal_size)

    def expose(self) -> bytes:
        """Return the text of a scrape."""
        return generate_latest(self.registry)
