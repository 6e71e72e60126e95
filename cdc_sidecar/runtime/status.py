"""The status of the daemon: one immutable snapshot that any thread may read."""

import math
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Final

from cdc_sidecar.events import twin
from cdc_sidecar.kafka.position import instance
from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.postgres.slot import SlotActivity, SlotStatus

STUCK_AFTER = 90.0
"""Seconds without a beat of the replication thread after which the process counts as hung. The
thread beats every second, and ends its session if a query takes 30 s."""
OLD_AFTER = 30.0
"""Seconds after which health reports the age of the slot's last check: three checks are missing."""


class Phase(Enum):
    """What the session is doing; `HALTED` and `STOPPED` are how the process ends."""

    STARTING = "starting"
    WAITING = "waiting"  # a standby: another sidecar holds the lock
    CLAIMING = "claiming"
    STREAMING = "streaming"
    BACKING_OFF = "backing off"
    STOPPING = "stopping"
    STOPPED = "stopped"
    HALTED = "halted"


WITHOUT_KAFKA: Final = frozenset({Phase.WAITING, Phase.HALTED, Phase.STOPPED})
"""Phases in which nothing is asked of Kafka."""


@dataclass(frozen=True, slots=True)
class Status:
    """One snapshot; times are seconds since 1970."""

    service: str
    slot_name: str
    transactional_id: str
    version: str
    started_at: float
    instance: str = field(default_factory=instance)  # host and process
    host: str | None = None  # host and port of Postgres as the dsn has them
    server_version: str | None = None  # None until a session has examined the source
    database: str | None = None
    phase: Phase = Phase.STARTING
    phase_since: float = 0.0
    kafka_reachable: bool = False
    kafka_asked: bool = False  # whether anything is known of Kafka yet
    kafka_since: float | None = None  # when kafka_reachable last changed
    kafka_reason: str | None = None  # why it is not, as far as the client library knows
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
    error_code: str = ""  # of the error that ended the session or the process
    leader: bool = False  # it holds the lock of the slot
    config_fingerprint: str = ""
    config_loaded_at: float | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def kafka_answers(self) -> bool | None:
        """Whether Kafka answers; None while it is not asked: before a session, or in none."""
        asked = self.kafka_asked and self.phase not in WITHOUT_KAFKA
        return self.kafka_reachable if asked else None

    @property
    def ready(self) -> bool:
        """Whether the stream flows, or this sidecar is a standby."""
        is_standby = self.phase is Phase.WAITING
        flowing = self.phase is Phase.STREAMING and self.kafka_reachable and not self.stalled
        return (is_standby or flowing) and not (self.slot and self.slot.lost)

    def alive(self, now: float) -> bool:
        """Whether the replication thread makes progress, independently of Postgres and Kafka."""
        return self.phase is not Phase.STREAMING or now - self.beat < STUCK_AFTER

    def health(self, now: float) -> dict[str, str]:
        """Return one word each for the stream, Kafka and the slot."""
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
        word = f"{word}, about to be lost" if word == "unreserved" else word
        age = now - self.slot_seen_at
        return f"{word}, as seen {age:.0f} s ago" if age > OLD_AFTER else word

    def as_json(self) -> dict[str, Any]:
        """Return the snapshot's part of the body of `/status`, version 1."""
        return {
            "version": 1,
            "service": self.service,
            "sidecar": self.version,
            "transcoder": twin.NAME,
            "phase": self.phase.value,
            "phase_since": self.phase_since,
            "ready": self.ready,
            "leader": self.leader,
            "started_at": self.started_at,
            "session": self.session,
            "transactional_id": self.transactional_id,
            "instance": self.instance,
            "server": {
                "host": self.host,
                "version": self.server_version,
                "database": self.database,
            },
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
            "backend_pid": self.slot.active_pid if self.slot else None,
            "warnings": list(self.warnings),
            "error": self.error,
            "error_code": self.error_code or None,
            "config": {"fingerprint": self.config_fingerprint, "loaded_at": self.config_loaded_at},
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
            "limit_bytes": slot.limit_bytes if slot else None,
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
