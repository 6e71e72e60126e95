"""The metrics of the slot and of the walsender that reads it, as the guardian sees them."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from cdc_sidecar.metrics.registry import UNKNOWN, Maker
from cdc_sidecar.postgres.slot import DecodedSums, SlotActivity, SlotStatus

_WAL_STATES: Final = ("reserved", "extended", "unreserved", "lost")
"""The values of `pg_replication_slots.wal_status`."""


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
        make = Maker(registry)
        self._retained = make.gauge("slot_retained_bytes", "WAL that the slot retains")
        self._safe = make.unknown("slot_safe_bytes", "WAL until the slot is in danger")
        self._lag = make.gauge("slot_confirmed_lag_bytes", "WAL that is not yet confirmed")
        self._status = make.gauge("slot_wal_status", "wal_status", "state")
        self._invalidated = make.gauge("slot_invalidated", "why", "reason")
        self._time_left = make.unknown(
            "slot_time_left_seconds", "seconds until the slot may be lost, at the present rate"
        )
        self._inactive_since = make.unknown(
            "slot_inactive_since_timestamp_seconds", "when the slot was last read"
        )
        self._sent = make.unknown(
            "walsender_sent_lsn_bytes", "LSN up to which the server has sent WAL"
        )
        self._flushed = make.unknown(
            "walsender_flushed_lsn_bytes", "LSN that was reported to the server as flushed"
        )
        self._clock_offset = make.unknown(
            "postgres_clock_offset_seconds", "clock of the server minus that of the sidecar"
        )
        for state in _WAL_STATES:
            self._status.labels(state)
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
        self._time_left.set(seconds_left)
        since = slot.inactive_since
        self._inactive_since.set(UNKNOWN if since is None else since)
        self._clock_offset.set(UNKNOWN if slot.clock_offset is None else slot.clock_offset)
        self._show_activity(activity)

    def _show_activity(self, activity: SlotActivity) -> None:
        self._decoded.sums = activity.sums
        walsender = activity.walsender
        sent, flushed = (walsender.sent_lsn, walsender.flush_lsn) if walsender else (None, None)
        self._sent.set(UNKNOWN if sent is None else sent)
        self._flushed.set(UNKNOWN if flushed is None else flushed)
