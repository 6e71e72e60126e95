"""Tests wait for a condition with a deadline, never for an amount of time."""

import threading
import time
from collections.abc import Callable

_POLL_SECONDS = 0.02


def await_true(condition: Callable[[], object], *, deadline: float = 30.0, what: str) -> None:
    """Wait until `condition()` is true; fail with `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    pause = threading.Event()
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:g} s: {what}")
        pause.wait(_POLL_SECONDS)
