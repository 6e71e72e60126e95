"""Named points where a test may kill, stop, raise or delay the process.

`CDC_SIDECAR_FAILPOINTS="before_commit#3=kill,after_claim=raise"` is read once at start. `#3` means
the third time that the point is reached; the default is the first. A point that is not armed costs
one empty call. The acceptance tests run every member of `Failpoint`, including new ones.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from cdc_sidecar.errors import FailpointHit, FailpointInvalid

VARIABLE = "CDC_SIDECAR_FAILPOINTS"
DELAY = 2.0
"""Seconds of the action `delay`: enough for a test to act while the process waits at the point."""


class Failpoint(Enum):
    """Every point, in the order in which a session reaches them."""

    AFTER_LOCK = "after_lock"
    AFTER_TOPICS_CREATED = "after_topics_created"
    AFTER_LOOK = "after_look"
    AFTER_INIT_TRANSACTIONS = "after_init_transactions"
    AFTER_HANGING_NOTED = "after_hanging_noted"
    AFTER_HANGING_ABORTED = "after_hanging_aborted"
    BEFORE_RESTORED = "before_restored"
    AFTER_SLOT_INTENT = "after_slot_intent"
    AFTER_SLOT_CREATED = "after_slot_created"
    AFTER_CLAIM = "after_claim"
    AFTER_START_REPLICATION = "after_start_replication"
    AFTER_FENCE = "after_fence"
    AFTER_CHUNK_READ = "after_chunk_read"
    AFTER_MARKER = "after_marker"
    BEFORE_PRODUCE = "before_produce"
    AFTER_PRODUCE = "after_produce"
    AFTER_POSITION = "after_position"
    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT = "after_commit"
    BEFORE_ACKNOWLEDGE = "before_acknowledge"
    AFTER_ACKNOWLEDGE = "after_acknowledge"
    AFTER_PRUNED_BATCH = "after_pruned_batch"


class Action(Enum):
    """What an armed point does to the process."""

    KILL = "kill"
    STOP = "stop"
    RAISE = "raise"
    DELAY = "delay"


@dataclass(slots=True)
class Armed:
    """An action, and how often its point is still passed before the action is taken."""

    action: Action
    passes_left: int


_armed: dict[Failpoint, Armed] = {}


def _disarmed(_point: Failpoint) -> None:
    """Do nothing. `reach` is this function while no point is armed."""


reach: Callable[[Failpoint], None] = _disarmed


def arm(specification: str) -> tuple[str, ...]:
    """Arm the points of `specification`, disarm all others, and return the names of the armed ones.

    Raises:
        FailpointInvalid: a part has an unknown point, an unknown action, or a wrong count.

    """
    global reach  # noqa: PLW0603 - replaced, so that a disarmed point needs no look-up
    _armed.clear()
    for part in filter(None, (part.strip() for part in specification.split(","))):
        point, armed = _parse(part)
        _armed[point] = armed
    reach = _reach if _armed else _disarmed
    return tuple(point.value for point in _armed)


def _parse(part: str) -> tuple[Failpoint, Armed]:
    name, _, action = part.partition("=")
    point, _, count = name.partition("#")
    try:
        member, armed = Failpoint(point), Armed(Action(action), int(count or "1") - 1)
    except ValueError as error:
        raise _not_valid(part) from error
    if armed.passes_left < 0:
        raise _not_valid(part)
    return member, armed


def _not_valid(part: str) -> FailpointInvalid:
    points = ", ".join(member.value for member in Failpoint)
    return FailpointInvalid(
        f"{part!r} in {VARIABLE}",
        hint=f"unset {VARIABLE}, which is only for tests; a test writes"
        f" point[#count]=kill|stop|raise|delay, and the points are {points}",
    )


def _reach(point: Failpoint) -> None:
    armed = _armed.get(point)
    if armed is None:
        return
    if armed.passes_left:
        armed.passes_left -= 1
        return
    del _armed[point]
    _act(point, armed.action)


def _act(point: Failpoint, action: Action) -> None:
    match action:
        case Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Action.STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
        case Action.RAISE:
            raise FailpointHit(point.value)
        case Action.DELAY:
            time.sleep(DELAY)
