"""The status board: what any thread reports, and what HTTP and the metrics read at any moment."""

import math
import threading
import time
from dataclasses import replace
from typing import Any

from cdc_sidecar.runtime.activity import Activity
from cdc_sidecar.runtime.backlog import Backlog
from cdc_sidecar.runtime.beats import Beats
from cdc_sidecar.runtime.history import History
from cdc_sidecar.runtime.journal import Journal
from cdc_sidecar.runtime.links import Links
from cdc_sidecar.runtime.rates import Rates
from cdc_sidecar.runtime.snapshot_board import SnapshotBoard
from cdc_sidecar.runtime.status import Phase, Status


class StatusBoard:
    """Holds the newest snapshot; threads write through `update`, the HTTP thread reads."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._lock = threading.Lock()
        self.backlog = Backlog()
        """The backlog of the present stream, or of none; replaced when a stream begins or ends."""
        self.rates = Rates()
        self.snapshots = SnapshotBoard()
        self.beats = Beats()
        """The beats of the other threads; that of the replication thread is in the status."""
        self.activity = Activity()
        self.history = History()
        self.configuration: dict[str, Any] = {}
        """The effective configuration without secrets, as JSON can hold it."""
        self._sampled = (0, 0)  # events and bytes up to the last sample
        self._links = Links()
        self._journal = Journal()

    @property
    def now(self) -> Status:
        """The newest snapshot."""
        return self._status

    def stuck(self) -> tuple[str, ...]:
        """Return the names of the threads that are needed and make no progress."""
        alive = self.now.alive(time.time())
        return (*(() if alive else ("replication",)), *self.beats.stuck)

    def beat_ages(self) -> dict[str, float]:
        """Return the seconds since the last beat of each thread, for `/status`."""
        now = self.now
        streaming = now.phase is Phase.STREAMING
        own = {"replication": max(0.0, time.time() - now.beat)} if streaming else {}
        return {name: round(age, 1) for name, age in {**own, **self.beats.ages}.items()}

    def as_json(self) -> dict[str, Any]:
        """Return the body of `/status`: the newest snapshot, and what is read when it is asked."""
        return {
            **self.now.as_json(),
            "lag_seconds": self.known_lag(3),
            "rates": self.rates.as_json(),
            "latency": self._latency(),
            "links": self._links.as_json(),
            "threads": self.beat_ages(),
            "snapshot": self.snapshots.as_json(),
            "tables": self.activity.as_json(),
            "history": self.history.as_json(),
            **self._journal_now(),
            "configuration": self.configuration,
        }

    def _latency(self) -> dict[str, float | None]:
        p50, p99 = self.activity.latencies.recent(0.5, 0.99)
        return {"p50_seconds": _rounded(p50), "p99_seconds": _rounded(p99)}

    def _journal_now(self) -> dict[str, Any]:
        with self._lock:
            return self._journal.as_json(time.time())

    def queue_bytes(self) -> float:
        """Return the bytes that wait between the threads of the present stream."""
        return self.backlog.queue_bytes

    def lag(self) -> float:
        """Return the age in seconds of the oldest change not yet published; see `Backlog`."""
        return self.backlog.lag()

    def known_lag(self, digits: int) -> float | None:
        """Return the lag, rounded; None on a standby, which does not know it."""
        lag = self.lag()
        return None if math.isnan(lag) else round(lag, digits)

    def sample(self) -> None:
        """Add to the history if it is time; called several times a second by one thread."""
        passed = self.history.due()
        if not passed:
            return
        activity, slot = self.activity, self.now.slot
        events, size = activity.events, activity.bytes
        before, self._sampled = self._sampled, (events, size)
        p50, p99 = activity.latencies.last(0.5, 0.99)
        activity.latencies.turn()
        self.history.add(
            {
                "lag_seconds": self.lag(),
                "lag_bytes": slot.confirmed_lag_bytes if slot else None,
                "events_per_second": (events - before[0]) / passed,
                "bytes_per_second": (size - before[1]) / passed,
                "p50_seconds": p50,
                "p99_seconds": p99,
            }
        )

    def update(self, **changes: object) -> None:
        """Replace fields of the snapshot by their names.

        `kafka_reachable` also sets `kafka_asked`. A change of it sets `kafka_since`, and ends the
        reason of an outage.
        """
        with self._lock:
            before, now = self._status, time.time()
            changes["kafka_asked"] = before.kafka_asked or "kafka_reachable" in changes
            reachable = changes.get("kafka_reachable", before.kafka_reachable)
            if reachable != before.kafka_reachable:
                changes["kafka_since"] = now
            if reachable:
                changes["kafka_reason"] = None
            after = replace(before, **changes)  # type: ignore[arg-type] # fields by name
            self._status = after
            self._links.observe(before, after, now)
            self._journal.observe(before, after, now)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
