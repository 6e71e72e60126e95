"""Ids of events."""

import secrets
import time
from uuid import UUID


def new_id() -> UUID:
    """Return a UUID of version 7 (RFC 9562).

    An id that is made in a later millisecond is larger, so an index over ids grows at its end.
    """
    milliseconds = time.time_ns() // 1_000_000
    version, variant = 7, 0b10
    number = milliseconds << 80 | version << 76 | secrets.randbits(12) << 64
    return UUID(int=number | variant << 62 | secrets.randbits(62))
