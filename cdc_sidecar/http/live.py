"""The parts of the status page that change, as server-sent events (HTML standard, 9.2).

A stream holds one of the clients' connections. It ends after ten minutes, and the browser then
opens another one, so a stream that nobody reads any more does not stay.
"""

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

INTERVAL: Final = 1.0
"""Seconds between two events."""
HEARTBEAT: Final = 15.0
"""Seconds without an event after which a comment is sent, by which a lost client is noticed."""
LONGEST: Final = 600.0
"""Seconds that a stream lasts at most."""
MOST: Final = 8
"""Streams at once, and never more than half of the clients."""


class Live:
    """The streams of one server; `look` returns the parts of the page as they are now."""

    def __init__(self, look: Callable[[], Mapping[str, str]], clients: int) -> None:
        """Allow a share of `clients`."""
        self._look = look
        self._looking = threading.Lock()
        self._seen: tuple[float, Mapping[str, str]] = (-math.inf, {})
        self._places = threading.BoundedSemaphore(max(1, min(MOST, clients // 2)))
        self._closing = threading.Event()

    def _shared(self) -> Mapping[str, str]:
        """Return the parts; streams that ask at about the same time share them."""
        with self._looking:
            at, parts = self._seen
            if time.monotonic() - at >= INTERVAL / 2:
                parts = self._look()
                self._seen = time.monotonic(), parts
            return parts

    def close(self) -> None:
        """End all streams."""
        self._closing.set()

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Take a place for the length of the block; the value is False if none is free."""
        taken = not self._closing.is_set() and self._places.acquire(blocking=False)
        try:
            yield taken
        finally:
            if taken:
                self._places.release()

    def events(self) -> Iterator[bytes]:
        """Yield the bytes of one stream: every part, and then those that have changed."""
        yield b"retry: 2000\n\n"
        shown: dict[str, str] = {}
        last, end = time.monotonic(), time.monotonic() + LONGEST
        while time.monotonic() < end:
            parts = self._shared()
            changed = {name: part for name, part in parts.items() if shown.get(name) != part}
            shown |= changed
            if changed:
                last = time.monotonic()
                yield b"data: " + json.dumps(changed).encode() + b"\n\n"
            elif time.monotonic() - last >= HEARTBEAT:
                last = time.monotonic()
                yield b": still here\n\n"
            if self._closing.wait(INTERVAL):
                return
