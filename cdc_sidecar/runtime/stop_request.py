"""The request to stop, which the main thread looks for wherever it waits."""

import math
import threading
import time
from collections.abc import Callable
from typing import Final

_SLICE: Final = 1.0
"""Seconds between two beats while the main thread waits for the request."""


class StopRequest(threading.Event):
    """Set when the process shall end; `beat` is called when the main thread looks for it.

    A main thread that looks for the request is at work, and one that hangs does not look.
    """

    def __init__(self, beat: Callable[[], None]) -> None:
        super().__init__()
        self._beat = beat

    def is_set(self) -> bool:
        """Return whether the process shall end."""
        self._note()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the request; return whether it has come within `timeout` seconds."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        while not super().wait(max(0.0, min(_SLICE, until - time.monotonic()))):
            self._note()
            if time.monotonic() >= until:
                return False
        return True

    def _note(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._beat()
