"""Shows on stderr that a command waits, and for what."""

import threading
import time
from typing import Final, Self

import typer

INTERVAL: Final = 2.0
"""Seconds between two lines: a check of servers that answer takes less."""


class Progress:
    """A thread that prints a line now and then while one step takes long."""

    def __init__(self) -> None:
        self._step: tuple[str, float] | None = None  # its subject, and when it began
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop the thread."""
        self._over.set()
        self._thread.join()

    def begin(self, subject: str) -> None:
        """Note the beginning of a step."""
        self._step = subject, time.monotonic()

    def end(self) -> None:
        """Note the end of the step."""
        self._step = None

    def _run(self) -> None:
        while not self._over.wait(INTERVAL):
            step = self._step
            if step:
                subject, since = step
                typer.echo(
                    f"...   {subject}: no answer yet, {time.monotonic() - since:.0f} s", err=True
                )
