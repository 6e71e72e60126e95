"""Requests of a person about snapshots, on their way to the thread that reads."""

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from cdc_sidecar.errors import SidecarError, SnapshotRefused

ANSWER_WITHIN: Final = 30.0
"""Seconds within which a request is answered: a chunk and a commit take less than one."""


@dataclass(slots=True)
class SnapshotRequest:
    """One request; `tables` is empty for all of them."""

    action: str  # start, pause, resume, cancel, rate
    tables: tuple[str, ...] = ()
    where: str = ""
    rate: int = 0
    answered: threading.Event = field(default_factory=threading.Event)
    changed: list[str] = field(default_factory=list)  # the tables that it has changed
    error: SidecarError | None = None

    def answer(self, changed: list[str], error: SidecarError | None = None) -> None:
        """Tell the person what was done."""
        self.changed, self.error = changed, error
        self.answered.set()


class SnapshotRequests:
    """The requests that wait; outlives sessions."""

    def __init__(self) -> None:
        self._waiting: deque[SnapshotRequest] = deque()
        self._arrived = threading.Condition()

    def ask(self, request: SnapshotRequest, within: float = ANSWER_WITHIN) -> list[str]:
        """Hand a request on, and return the tables that it has changed, once Kafka knows.

        Raises:
            SidecarError: it was refused, or nobody took it in time.

        """
        with self._arrived:
            self._waiting.append(request)
            self._arrived.notify_all()
        if not request.answered.wait(within):
            with self._arrived:
                if request in self._waiting:
                    self._waiting.remove(request)
            raise SnapshotRefused(
                "the sidecar did not take the request in time",
                cause="it does not stream now, or its stream is far behind",
                hint="look at `cdc-sidecar status`, and try again when it streams",
            )
        if request.error:
            raise request.error
        return request.changed

    def wait(self, timeout: float) -> bool:
        """Wait for a request; return whether there is one."""
        with self._arrived:
            self._arrived.wait(0 if self._waiting else timeout)
            return bool(self._waiting)

    def take(self) -> SnapshotRequest | None:
        """Return the next request; None if there is none."""
        with self._arrived:
            return self._waiting.popleft() if self._waiting else None

    @property
    def any(self) -> bool:
        """Whether a request waits."""
        return bool(self._waiting)

    def wake(self) -> None:
        """Wake the thread that waits."""
        with self._arrived:
            self._arrived.notify_all()


def request_of(message: dict[str, Any]) -> SnapshotRequest:
    """Return the request in a message of the socket.

    Raises:
        SnapshotRefused: it is none.

    """
    try:
        action = str(message["action"])
        tables, where = tuple(map(str, message.get("tables", ()))), str(message.get("where", ""))
        request = SnapshotRequest(action, tables, where, int(message.get("rate", 0)))
    except (KeyError, TypeError, ValueError) as error:
        raise _not_understood() from error
    if action not in ("start", "pause", "resume", "cancel", "rate") or request.rate < 0:
        raise _not_understood()
    return request


def _not_understood() -> SnapshotRefused:
    return SnapshotRefused(
        "the request is not understood", hint="use a cdc-sidecar command of the same version"
    )
