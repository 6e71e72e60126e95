"""The counters of events and of changes that were left out, by table."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry

from cdc_sidecar.events.counts import Counted, Counts
from cdc_sidecar.events.parking.note import ParkedNote
from cdc_sidecar.metrics.outbox import OutboxMetrics
from cdc_sidecar.metrics.registry import Bound, Maker

_OPS: Final = ("c", "u", "d", "t", "r")
_OUTBOX: Final = "outbox"
_IGNORED: Final = 200
"""Tables without configuration that have series of their own: a publication may have any number."""
_UNCHANGED: Final = 200
"""Columns whose unchanged values are counted one by one: a table may have 1,600."""


class EventMetrics:
    """Counts what committed Kafka transactions held."""

    def __init__(self, registry: CollectorRegistry, outbox: OutboxMetrics) -> None:
        make = Maker(registry)
        self._outbox = outbox
        self._events = make.counter("events", "events published", "table", "op")
        self._ignored = make.counter(
            "ignored_changes", "changes of published tables that are not configured", "table"
        )
        self._unchanged = make.counter(
            "unchanged_columns", "TOASTed values that were not sent", "table", "column"
        )
        self._truncates = make.counter("skipped_truncates", "truncates that were not sent", "table")
        self._parked = make.counter(
            "parked_events", "events that were parked, by the code of the error", "table", "reason"
        )
        self._ignored_bound = Bound(_IGNORED)
        self._unchanged_bound = Bound(_UNCHANGED)

    def expect_parked(self, origin: str, codes: Iterable[str]) -> None:
        """Show a table or an outbox that may park events, with the codes of errors it may have."""
        for code in codes:
            self._parked.labels(origin, code)

    def parked(self, notes: Iterable[ParkedNote]) -> None:
        """Count the parked events of a committed Kafka transaction."""
        for note in notes:
            self._parked.labels(note.origin, note.code).inc()
            if note.event_type is not None:
                self._outbox.parked(note.origin, note.event_type)

    def expect_table(self, table: str) -> None:
        """Show a captured table before its first event."""
        for op in _OPS:
            self._events.labels(table, op)
        self._truncates.labels(table)

    def expect_outbox(self, outbox: str, event_types: Iterable[str]) -> None:
        """Show an outbox before its first event."""
        self._events.labels(outbox, _OUTBOX)
        self._outbox.expect(outbox, event_types)

    def expect_ignored(self, table: str) -> None:
        """Show a published table that is not configured before its first change."""
        self._ignored.labels(*self._ignored_bound(table))

    def count(self, counts: Counts) -> None:
        """Count what a committed Kafka transaction held."""
        for (counted, table, detail), count in counts.items():
            match counted:
                case Counted.EVENTS:
                    self._events.labels(table, detail).inc(count)
                case Counted.IGNORED:
                    self._ignored.labels(*self._ignored_bound(table)).inc(count)
                case Counted.UNCHANGED:
                    self._unchanged.labels(*self._unchanged_bound(table, detail)).inc(count)
                case Counted.SKIPPED_TRUNCATES:
                    self._truncates.labels(table).inc(count)
                case Counted.OUTBOX_UPDATES:
                    self._outbox.updates.labels(table).inc(count)
                case Counted.OUTBOX_EVENTS:
                    self._events.labels(table, _OUTBOX).inc(count)
                    self._outbox.published(table, detail, count)
