"""What a person should think of a status and do about it: a tone, a hint, and a page to read."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cdc_sidecar.runtime.watch import SOON
from cdc_sidecar.wording import span

Body = Mapping[str, Any]
BEHIND: Final = 30.0
"""Seconds of lag from which the page advises a person."""


class Tone(StrEnum):
    """How urgent a situation is."""

    GOOD = "good"
    QUIET = "quiet"  # nothing is wrong, and nothing is published here
    WARN = "warn"
    BAD = "bad"


class Alert(StrEnum):
    """The alerts whose runbooks the status page names."""

    EVENTS_PARKED = "CdcSidecarEventsParked"
    FALLS_BEHIND = "CdcSidecarFallsBehind"
    HALTED = "CdcSidecarHalted"
    KAFKA_UNREACHABLE = "CdcSidecarKafkaUnreachable"
    LAGGING = "CdcSidecarLagging"
    SESSIONS_FAIL = "CdcSidecarSessionsFail"
    SLOT_LOST = "CdcSidecarSlotLost"
    SLOT_TIME_LEFT = "CdcSidecarSlotTimeLeft"
    SLOT_UNLIMITED = "CdcSidecarSlotUnlimited"
    SLOT_UNRESERVED = "CdcSidecarSlotUnreserved"
    STALLED = "CdcSidecarStalled"

    @property
    def page(self) -> str:
        """The page of the runbook below `docs`."""
        return f"runbooks/{self}.md"


@dataclass(frozen=True, slots=True)
class Situation:
    """The tone, what to do, and the alert whose runbook says more."""

    tone: Tone
    hint: str = ""
    alert: Alert | None = None


def situation_of(body: Body) -> Situation:
    """Return what a person should know."""
    phase = body["phase"]
    if phase == "streaming":
        return _streaming(body)
    if phase == "waiting":
        return _slot(body) or Situation(Tone.QUIET)
    if phase == "halted":
        return _failed(body, Tone.BAD, Alert.HALTED)
    if phase == "backing off":
        return _failed(body, Tone.WARN, Alert.SESSIONS_FAIL)
    if body.get("error"):
        return _kafka_away(body) if _is_away(body) else Situation(Tone.WARN)
    return Situation(Tone.QUIET)


def _streaming(body: Body) -> Situation:
    for look in (_lost, _away, _stalled, _slot, _behind, _parked):
        found = look(body)
        if found:
            return found
    return Situation(Tone.GOOD)


def _failed(body: Body, tone: Tone, alert: Alert) -> Situation:
    return Situation(tone, hint_of(body.get("error") or ""), alert)


def hint_of(error: str) -> str:
    """Return the hint of an error's text, or an empty string."""
    _, found, hint = error.partition("\n  hint:")
    return " ".join(hint.split()) if found else ""


def _is_away(body: Body) -> bool:
    return ((body.get("links") or {}).get("kafka") or {}).get("state") == "away"


def _away(body: Body) -> Situation | None:
    reachable = (body.get("kafka") or {}).get("reachable")
    return None if reachable else _kafka_away(body)


def _kafka_away(body: Body) -> Situation:
    left = body["slot"].get("seconds_left")
    until = "" if left is None else f" The slot lasts for {span(left)} at the present rate."
    return Situation(
        Tone.BAD,
        "No change is lost: Postgres keeps them until Kafka answers. Restore the brokers or the"
        f" network to them; the sidecar then continues by itself.{until}",
        Alert.KAFKA_UNREACHABLE,
    )


def _lost(body: Body) -> Situation | None:
    if body["slot"]["wal_status"] != "lost" and not body["slot"]["invalidation_reason"]:
        return None
    return Situation(
        Tone.BAD,
        "Changes can no longer be read from this slot. The runbook says how to continue.",
        Alert.SLOT_LOST,
    )


def _stalled(body: Body) -> Situation | None:
    if not body.get("stalled"):
        return None
    return Situation(
        Tone.BAD,
        "Kafka answers and WAL grows, but the position does not move. Look at what the walsender"
        " waits for, and whether a standby in synchronized_standby_slots is down.",
        Alert.STALLED,
    )


def _slot(body: Body) -> Situation | None:
    if _lost(body):
        return _lost(body)
    left = body["slot"].get("seconds_left")
    if left is not None and left < SOON:
        return Situation(Tone.BAD, _IN_DANGER, Alert.SLOT_TIME_LEFT)
    return _SLOT.get(body["slot"]["wal_status"])


_IN_DANGER: Final = (
    "The server may remove WAL that was not read. Raise max_slot_wal_keep_size and reload the"
    " server now; then find out why the sidecar is behind."
)
_LARGE: Final = (
    "The slot keeps more WAL than max_wal_size. See that the sidecar catches up, and that the disk"
    " has room."
)
_SLOT: Final[Mapping[str | None, Situation]] = {
    "unreserved": Situation(Tone.BAD, _IN_DANGER, Alert.SLOT_UNRESERVED),
    "extended": Situation(Tone.WARN, _LARGE, Alert.FALLS_BEHIND),
}


def _behind(body: Body) -> Situation | None:
    if (body.get("lag_seconds") or 0.0) < BEHIND:
        return None
    return Situation(
        Tone.WARN,
        "The sidecar works through a backlog: a long transaction, a burst of changes, or brokers"
        " that are slow. See whether the lag below falls.",
        Alert.LAGGING,
    )


def _parked(body: Body) -> Situation | None:
    if not ((body.get("tables") or {}).get("parked") or {}).get("lately"):
        return None
    return Situation(
        Tone.WARN,
        "Events that cannot be published were parked in the last hour. `cdc-sidecar parked` shows"
        " them and why; the runbook says how to send them again.",
        Alert.EVENTS_PARKED,
    )
