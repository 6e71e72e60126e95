"""Waiting for the socket of a connection, apart from the protocol, as in psycopg's `waiting.py`.

A step of the protocol is a generator: it yields what it waits for, is sent what is ready, and
returns its result. A step knows no clock, and the waiter knows nothing of the protocol.
"""

import selectors
import time
from collections.abc import Callable, Generator
from typing import Final, TypeAlias, TypeVar

from psycopg.waiting import Ready, Wait

T = TypeVar("T")

Step: TypeAlias = Generator[Wait, Ready, T]

STOP_POLL: Final = 0.5
"""Seconds between two questions whether to stop: short beside the grace period of a shutdown."""


class SocketWaiter:
    """Runs steps on one socket; used by one thread at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.last_readable = float("-inf")
        """When `run` last found input, as a time of `time.monotonic`."""

    def run(
        self, step: Step[T], deadline: float, stopping: Callable[[], bool] = lambda: False
    ) -> T:
        """Run a step and return its result; a deadline that has passed still polls once.

        Raises:
            TimeoutError: the step did not end before `deadline` (`time.monotonic`) or `stopping`.

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
        """Return what is ready; a broken connection is ready for everything."""
        with selectors.PollSelector() as selector:
            selector.register(self._descriptor, wanted)
            events = selector.select(max(0.0, min(seconds, STOP_POLL)))
        ready = Ready(events[0][1]) if events else Ready.NONE
        if ready & Ready.R:
            self.last_readable = time.monotonic()
        return ready
