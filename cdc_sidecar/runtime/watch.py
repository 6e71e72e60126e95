"""What looks at the slot tell over time: how long it lasts, and whether the stream stands still.

No clock and no server: the guardian passes looks in.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from cdc_sidecar.postgres.slot import SlotActivity, SlotStatus

LOOKS_KEPT: Final = 12
LOOKS_NEEDED: Final = 4  # before two halves of them can be compared
STALLED_AFTER: Final = 15.0  # seconds: three looks, of which two brought nothing
SOON: Final = 3600.0  # seconds
NOT_SO_SOON: Final = 7200.0  # seconds; what was warned of is over beyond this


@dataclass(frozen=True, slots=True)
class Look:
    """One look of the guardian; `at` is monotonic."""

    at: float
    slot: SlotStatus
    activity: SlotActivity
    session: int
    flowing: bool  # streaming, and Kafka answers
    commits: int  # of Kafka transactions


@dataclass(slots=True)
class Outlook:
    """How long the slot will last at the rate at which the WAL that it retains grows.

    That WAL goes up and down like a saw, as the slot's restart point moves in steps: the lowest
    points of two halves of the looks are compared.
    """

    _looks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=LOOKS_KEPT))

    def take(self, look: Look) -> float:
        """Return the seconds left; infinite where nothing endangers the slot."""
        self._looks.append((look.at, look.slot.retained_bytes or 0))
        safe = look.slot.safe_wal_size
        if look.slot.lost or (safe is not None and safe <= 0):
            return 0.0
        rate = self._rate()
        return math.inf if safe is None or rate <= 0 else safe / rate

    def _rate(self) -> float:
        """Return bytes a second."""
        if len(self._looks) < LOOKS_NEEDED:
            return 0.0
        looks = list(self._looks)
        half = len(looks) // 2
        then, before = min(looks[:half], key=lambda look: look[1])
        now, after = min(looks[half:], key=lambda look: look[1])
        return (after - before) / (now - then)


@dataclass(slots=True)
class Stall:
    """Whether the stream stands still although there is WAL to read and Kafka answers.

    An idle stream is confirmed as other tables write, and a long transaction is sent: neither is
    still. A part of a split transaction confirms nothing, but is a commit.
    """

    split_seconds: float  # after which a long transaction is committed in parts
    _since: Look | None = None  # the last look that showed progress

    def take(self, look: Look) -> bool:
        """Tell whether the stream stalls."""
        since = self._since
        if since is None or not look.flowing or _moved(since, look):
            self._since = look
            return False
        walsender = look.activity.walsender
        sending = walsender is None or walsender.may_be_sending
        patience = STALLED_AFTER + (self.split_seconds if sending else 0.0)
        lag, lag_then = look.slot.confirmed_lag_bytes, since.slot.confirmed_lag_bytes
        return look.at - since.at >= patience and (lag or 0) > (lag_then or 0)


def _moved(before: Look, now: Look) -> bool:
    """Tell whether anything was published or acknowledged between two looks."""
    return (
        (now.session, now.commits) != (before.session, before.commits)
        or not before.flowing
        or now.slot.confirmed_flush_lsn != before.slot.confirmed_flush_lsn
    )


class Danger:
    """Whether people must be warned for the slot: which of its states, and the words for it."""

    def __init__(self) -> None:
        self.state = ""  # `extended`, `unreserved`, `soon`; empty where nothing is to be told

    def take(self, slot: SlotStatus, seconds_left: float) -> bool:
        """Take what a look showed; tell whether the state is another now."""
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
        """Return the warning of the present state."""
        match self.state:
            case "unreserved":
                return "the slot is about to be lost: wal_status is unreserved"
            case "soon":
                return f"the slot is lost in {seconds_left / 60:.0f} minutes if this goes on"
            case "extended":
                return "the slot holds back more WAL than max_wal_size: wal_status is extended"
            case _:
                return None
