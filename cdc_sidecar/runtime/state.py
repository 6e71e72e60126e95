"""What the daemon knows about itself, as one immutable snapshot that any thread may read."""

import threading
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.postgres.slot import SlotStatus

STUCK_AFTER = 90.0  # seconds


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
    session: int = 0
    position: int = 0  # LSN
    acknowledged: int = 0  # LSN
    commits: int = 0
    last_commit_at: float | None = None
    queue_bytes: int = 0
    slot: SlotStatus | None = None
    slot_seen_at: float | None = None
    beat: float = 0.0  # when the replication thread was last seen at work
    error: str | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def ready(self) -> bool:
        """Whether the stream flows, or we stand by to take over."""
        return self.phase is Phase.WAITING or (
            self.phase is Phase.STREAMING and self.kafka_reachable
        )

    def alive(self, now: float) -> bool:
        """Whether the loop makes progress; troubles outside never make this false."""
        return self.phase is not Phase.STREAMING or now - self.beat < STUCK_AFTER

    def as_json(self) -> dict[str, Any]:
        """Return the body of `/status`, version 1."""
        slot = self.slot
        return {
            "version": 1,
            "service": self.service,
            "sidecar": self.version,
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
                "commits": self.commits,
                "last_commit_at": self.last_commit_at,
            },
            "queue_bytes": self.queue_bytes,
            "slot": {
                "name": self.slot_name,
                "wal_status": slot.wal_status if slot else None,
                "retained_bytes": slot.retained_bytes if slot else None,
                "safe_wal_size": slot.safe_wal_size if slot else None,
                "confirmed_lag_bytes": slot.confirmed_lag_bytes if slot else None,
                "seen_at": self.slot_seen_at,
            },
            "warnings": list(self.warnings),
            "error": self.error,
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
        """Replace some fields."""
        with self._lock:
            self._state = replace(self._state, **changes)  # type: ignore[arg-type]
