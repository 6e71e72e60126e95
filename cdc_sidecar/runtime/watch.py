"""Assesses several readings of the slot: how long it will last, and whether the stream is stalled.

The module has no clock and asks no server: the guardian passes the readings in.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from cdc_sidecar.postgres.slot import SlotActivity, SlotStatus

READINGS_KEPT: Final = 12
"""Looks from which the rate is computed: two minutes, in which a checkpoint moves the slot on."""
READINGS_NEEDED: Final = 4
"""Looks before the first rate: two in each of the halves that are compared."""
STALLED_AFTER: Final = 15.0
"""Seconds without progress that make a stall: two readings of the guardian and a half."""
SOON: Final = 3600.0
"""Seconds left from which people are warned: an hour is the least in which somebody can act."""
NOT_SO_SOON: Final = 7200.0
"""Seconds left from which the warning ends: twice as many, so that it does not come and go."""


STALL_WARNING: Final = (
    "stream_stalled: the slot is not confirmed, although WAL grows and Kafka answers"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of the guardian; `at` is monotonic."""

    at: float
    slot: SlotStatus
    activity: SlotActivity
    session: int
    flowing: bool  # streaming, and Kafka answers
    commits: int  # of Kafka transactions


@dataclass(frozen=True, slots=True)
class Assessment:
    """The conclusion from a reading and those before it."""

    seconds_left: float  # until the slot may be lost; infinite where nothing endangers it
    danger: str  # `extended`, `unreserved`, `soon`, or empty
    danger_changed: bool
    stalled: bool
    warnings: tuple[str, ...]


class SlotWatch:
    """Assesses one reading after the other."""

    def __init__(self, split_seconds: float) -> None:
        """Begin without a reading; see `Stall` for `split_seconds`."""
        self._outlook = Outlook()
        self._danger = Danger()
        self._stall = Stall(split_seconds)

    def observe(self, reading: Reading) -> Assessment:
        """Assess a reading."""
        seconds_left = self._outlook.observe(reading)
        stalled = self._stall.observe(reading)
        changed = self._danger.observe(reading.slot, seconds_left)
        warnings = (self._danger.warning(seconds_left), STALL_WARNING if stalled else None)
        return Assessment(
            seconds_left, self._danger.state, changed, stalled, tuple(filter(None, warnings))
        )


@dataclass(slots=True)
class Outlook:
    """How long the slot will last at the rate at which the WAL that it retains grows.

    The retained WAL rises steadily and falls in steps, when the slot's restart point moves. So the
    rate is that between the lowest points of the two halves of the readings.
    """

    _readings: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=READINGS_KEPT))

    def observe(self, reading: Reading) -> float:
        """Return the seconds left; infinite where nothing endangers the slot."""
        self._readings.append((reading.at, reading.slot.retained_bytes or 0))
        safe = reading.slot.safe_wal_size
        if reading.slot.lost or (safe is not None and safe <= 0):
            return 0.0
        rate = self._rate()
        return math.inf if safe is None or rate <= 0 else safe / rate

    def _rate(self) -> float:
        """Return bytes a second."""
        if len(self._readings) < READINGS_NEEDED:
            return 0.0
        readings = list(self._readings)
        half = len(readings) // 2
        then, before = min(readings[:half], key=lambda reading: reading[1])
        now, after = min(readings[half:], key=lambda reading: reading[1])
        return (after - before) / (now - then)


@dataclass(slots=True)
class Stall:
    """Whether nothing moves although there is WAL to read and Kafka answers.

    An idle stream is confirmed while other tables are written, and a long transaction is being
    sent: neither is stalled. A part of a split transaction confirms nothing, but is a commit.
    """

    split_seconds: float  # after which a long transaction is committed in parts
    _since: Reading | None = None  # the last reading that showed progress

    def observe(self, reading: Reading) -> bool:
        """Return whether the stream is stalled."""
        since = self._since
        if since is None or not reading.flowing or _moved(since, reading):
            self._since = reading
            return False
        walsender = reading.activity.walsender
        sending = walsender is None or walsender.may_be_sending
        patience = STALLED_AFTER + (self.split_seconds if sending else 0.0)
        lag, lag_then = reading.slot.confirmed_lag_bytes, since.slot.confirmed_lag_bytes
        return reading.at - since.at >= patience and (lag or 0) > (lag_then or 0)


def _moved(before: Reading, now: Reading) -> bool:
    """Return whether anything was published or acknowledged between two readings."""
    return (
        (now.session, now.commits) != (before.session, before.commits)
        or not before.flowing
        or now.slot.confirmed_flush_lsn != before.slot.confirmed_flush_lsn
    )


class Danger:
    """Whether people must be warned of losing the slot, and the text of the warning."""

    def __init__(self) -> None:
        self.state = ""  # `extended`, `unreserved`, `soon`; empty without danger

    def observe(self, slot: SlotStatus, seconds_left: float) -> bool:
        """Accept the facts of a reading; return whether the state has changed."""
        before = self.state
        self.state = self._state(slot, seconds_left)
        return self.state != before

    def _state(self, slot: SlotStatus, seconds_left: float) -> str:
        if slot.wal_status == "unreserved":
            return "unreserved"
        if seconds_left < (NOT_SO_SOON if self.state == "soon" else SOON):
            return "soon"
        return "extended" if slot.wal_status == "extended" else ""

    def warning(self, seconds_left: float) -> str | None:
        """Return the warning for the present state."""
        match self.state:
            case "unreserved":
                return "the slot is about to be lost: wal_status is unreserved"
            case "soon":
                return (
                    f"the slot will be lost in {seconds_left / 60:.0f} minutes at the present rate"
                )
            case "extended":
                return "the slot holds back more WAL than max_wal_size: wal_status is extended"
            case _:
                return None
