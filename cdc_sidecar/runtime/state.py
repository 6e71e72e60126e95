"""What the daemon knows about itself, as one immutable snapshot that any thread may read."""

import math
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

from cdc_sidecar.events import twin
from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.postgres.slot import SlotActivity, SlotStatus

STUCK_AFTER = 90.0  # seconds
OLD_AFTER = 30.0  # seconds after which a look at the slot is no longer news


class Phase(Enum):
    """Where a session is; `HALTED` and `STOPPED` are the ends of the process."""

    STARTING = "starting"
    WAITING = "waiting"  # another sidecar holds the lock: ready to take over
    CLAIMING = "claiming"
    STREAMING = "streaming"
    BACKING_OFF = "backing off"
    STOPPING = "stopping"
    STOPPED = "stopped"
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class State:
    """One snapshot; times are seconds since 1970."""

    service: str
    slot_name: str
    transactional_id: str
    version: str
    started_at: float
    phase: Phase = Phase.STARTING
    phase_since: float = 0.0
    kafka_reachable: bool = False
    kafka_since: float | None = None  # when that last changed
    session: int = 0
    position: int = 0  # LSN
    acknowledged: int = 0  # LSN
    commits: int = 0
    last_commit_at: float | None = None
    queue_bytes: int = 0
    slot: SlotStatus | None = None
    slot_activity: SlotActivity | None = None
    slot_seen_at: float | None = None
    seconds_left: float = math.inf  # until the slot may be lost
    stalled: bool = False
    beat: float = 0.0  # when the replication thread was last seen at work
    error: str | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def ready(self) -> bool:
        """Whether the stream flows, or we stand by to take over."""
        standing_by = self.phase is Phase.WAITING
        flowing = self.phase is Phase.STREAMING and self.kafka_reachable and not self.stalled
        return (standing_by or flowing) and not (self.slot and self.slot.lost)

    def alive(self, now: float) -> bool:
        """Whether the loop makes progress; troubles outside never make this false."""
        return self.phase is not Phase.STREAMING or now - self.beat < STUCK_AFTER

    def health(self, now: float) -> dict[str, str]:
        """Return a word on each of stream, Kafka and slot."""
        streaming = self.phase is Phase.STREAMING
        return {
            "stream": "stalled" if self.stalled and streaming else self.phase.value,
            "kafka": self._kafka_health(now),
            "slot": self._slot_health(now),
        }

    def _kafka_health(self, now: float) -> str:
        if self.phase is Phase.WAITING:
            return "not asked while waiting"
        if self.kafka_reachable:
            return "reachable"
        since = self.kafka_since
        return "not reached yet" if since is None else f"away for {max(0.0, now - since):.0f} s"

    def _slot_health(self, now: float) -> str:
        if self.slot is None or self.slot_seen_at is None:
            return "not looked at yet"
        word = "lost" if self.slot.lost else self.slot.wal_status
        age = now - self.slot_seen_at
        return f"{word}, as seen {age:.0f} s ago" if age > OLD_AFTER else word

    def as_json(self) -> dict[str, Any]:
        """Return the body of `/status`, version 1."""
        return {
            "version": 1,
            "service": self.service,
            "sidecar": self.version,
            "transcoder": twin.NAME,
            "phase": self.phase.value,
            "phase_since": self.phase_since,
            "ready": self.ready,
            "started_at": self.started_at,
            "session": self.session,
            "transactional_id": self.transactional_id,
            "position": format_lsn(self.position) if self.position else None,
            "acknowledged": format_lsn(self.acknowledged) if self.acknowledged else None,
            "kafka": {
                "reachable": self.kafka_reachable,
                "since": self.kafka_since,
                "commits": self.commits,
                "last_commit_at": self.last_commit_at,
            },
            "queue_bytes": self.queue_bytes,
            "stalled": self.stalled,
            "slot": self._slot_as_json(),
            "walsender": self._walsender_as_json(),
            "warnings": list(self.warnings),
            "error": self.error,
        }

    def _slot_as_json(self) -> dict[str, Any]:
        slot = self.slot
        sums = self.slot_activity.sums if self.slot_activity else None
        return {
            "name": self.slot_name,
            "wal_status": slot.wal_status if slot else None,
            "invalidation_reason": slot.invalidation_reason if slot else None,
            "inactive_since": slot.inactive_since if slot else None,
            "retained_bytes": slot.retained_bytes if slot else None,
            "safe_wal_size": slot.safe_wal_size if slot else None,
            "seconds_left": None if math.isinf(self.seconds_left) else self.seconds_left,
            "confirmed_lag_bytes": slot.confirmed_lag_bytes if slot else None,
            "decoded": asdict(sums) if sums else None,
            "seen_at": self.slot_seen_at,
        }

    def _walsender_as_json(self) -> dict[str, Any] | None:
        walsender = self.slot_activity.walsender if self.slot_activity else None
        if walsender is None:
            return None
        sent, flush = walsender.sent_lsn, walsender.flush_lsn
        return {
            "pid": walsender.pid,
            "state": walsender.state,
            "wait_event": walsender.wait_event,
            "sent": None if sent is None else format_lsn(sent),
            "flushed": None if flush is None else format_lsn(flush),
        }


class StateBoard:
    """Holds the newest snapshot; threads write through `update`, the HTTP thread reads."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.Lock()

    @property
    def now(self) -> State:
        """The newest snapshot."""
        return self._state

    def update(self, **changes: object) -> None:
        """Replace some fields; when Kafka comes or goes, the moment is kept."""
        with self._lock:
            before = self._state.kafka_reachable
            if changes.get("kafka_reachable", before) != before:
                changes["kafka_since"] = time.time()
            self._state = replace(self._state, **changes)  # type: ignore[arg-type]
