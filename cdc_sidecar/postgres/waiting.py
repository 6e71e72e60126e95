"""Waiting for the socket of a connection, apart from the protocol, as in psycopg's `waiting.py`.

A step of the protocol is a generator: it yields the directions that it waits for, receives those
that are ready, and returns its result. Steps know no clock, and the waiter knows no protocol.
"""

import selectors
import time
from collections.abc import Callable, Generator
from typing import Final, TypeAlias, TypeVar

from psycopg.waiting import Ready, Wait

T = TypeVar("T")

Step: TypeAlias = Generator[Wait, Ready, T]

STOP_POLL: Final = 0.5
"""Seconds between two checks of `stopping`: short compared with the grace period of a shutdown."""


class SocketWaiter:
    """Runs steps on one socket; used by one thread at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.last_readable = float("-inf")
        """The time (`time.monotonic`) at which `run` last found input."""

    def run(
        self, step: Step[T], deadline: float, stopping: Callable[[], bool] = lambda: False
    ) -> T:
        """Run a step and return its result; the socket is polled at least once.

        Raises:
            TimeoutError: the step had not ended at `deadline` (`time.monotonic`), or `stopping`
                returned true.

        """
        try:
            wanted = next(step)
            while True:
                ready = self._poll(wanted, deadline - time.monotonic())
                if ready:
                    wanted = step.send(ready)
                if time.monotonic() >= deadline or stopping():
                    raise TimeoutError
        except StopIteration as ended:
            result: T = ended.value
            return result

    def _poll(self, wanted: Wait, seconds: float) -> Ready:
        """Return the directions that are ready; both are if the connection is broken."""
        with selectors.PollSelector() as selector:
            selector.register(self._descriptor, wanted)
            events = selector.select(max(0.0, min(seconds, STOP_POLL)))
        ready = Ready(events[0][1]) if events else Ready.NONE
        if ready & Ready.R:
            self.last_readable = time.monotonic()
        return ready
