"""The metrics of outboxes, by event type; the number of types is bounded."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry

from cdc_sidecar.events.counts import Counted, Counts
from cdc_sidecar.metrics.registry import Bound, Maker

_EVENT_TYPES: Final = 200
"""Event types of outboxes that have series of their own."""


class OutboxMetrics:
    """The metrics of outboxes, by event type; the number of types is bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        make = Maker(registry)
        self.updates = make.counter("outbox_updates", "updates of outbox rows", "table")
        labels = ("table", "event_type")
        self._events = make.counter("outbox_events", "events published, by type", *labels)
        self._invalid = make.counter("outbox_invalid_events", "events at which it halted", *labels)
        self._parked = make.counter("outbox_parked_events", "events that were parked", *labels)
        self._lag = make.gauge(
            "outbox_lag_seconds", "from the commit in Postgres to that in Kafka, at last", *labels
        )
        self._pruned = make.counter("outbox_pruned_rows", "rows deleted after publication", "table")
        self._bounded = Bound(_EVENT_TYPES)

    def expect(self, table: str, event_types: Iterable[str]) -> None:
        """Show an outbox, and event types that are known, before the first event."""
        self.updates.labels(table)
        self._pruned.labels(table)
        for event_type in event_types:
            labels = self._bounded(table, event_type)
            self._events.labels(*labels)
            self._invalid.labels(*labels)
            self._parked.labels(*labels)

    def published(self, table: str, event_type: str, count: int) -> None:
        """Count events of one type."""
        self._events.labels(*self._bounded(table, event_type)).inc(count)

    def late(self, counts: Counts, seconds: float) -> None:
        """Show how long the newest event took of each type that was published."""
        for counted, table, event_type in counts:
            if counted is Counted.OUTBOX_EVENTS:
                self._lag.labels(*self._bounded(table, event_type)).set(seconds)

    def refused(self, table: str, event_type: str) -> None:
        """Count an event at which the sidecar halts."""
        self._invalid.labels(*self._bounded(table, event_type)).inc()

    def parked(self, table: str, event_type: str) -> None:
        """Count an event that was parked."""
        self._parked.labels(*self._bounded(table, event_type)).inc()

    def pruned(self, table: str, rows: int) -> None:
        """Count rows that were deleted after their publication."""
        self._pruned.labels(table).inc(rows)
