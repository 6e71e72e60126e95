"""Less work and less memory for Python's garbage collector and the C library's allocator."""

import ctypes
import gc
import traceback
from typing import Final

_MXFAST: Final = 1  # M_MXFAST of malloc.h
_ARENA_MAX: Final = -8  # M_ARENA_MAX

ARENAS: Final = 2
"""How many heaps malloc has, which all threads share. Measured on drains of a mix of small rows and
rows of 600 bytes: two take no more CPU time than 16."""


def forget_frames(error: BaseException) -> None:
    """Clear the local variables that an error's traceback keeps alive, a producer among them.

    Frames that still run are left alone.
    """
    each: BaseException | None = error
    while each is not None:
        traceback.clear_frames(each.__traceback__)
        each = each.__cause__ or each.__context__


def collect_leftovers() -> None:
    """Free what a session has left in cycles, Kafka clients with their threads among it.

    The collector runs rarely (see `process.collect_rarely`), and hardly ever while the brokers are
    away: the clients of a hundred sessions would gather before it does.
    """
    gc.collect()


def calm_collector() -> None:
    """Let the garbage collector skip everything that exists by now: modules and configuration.

    Little of it is garbage (69 of 68,000 objects), and a search for that would take 25 ms.
    """
    gc.freeze()


def calm_allocator() -> None:
    """Let glibc's malloc keep no fast bins and few arenas (mallopt(3)).

    Each large allocation walks all fast bins. Measured on drains of small rows, of rows of 1 kB and
    of 1,000 tables: 2 to 3 % of the CPU time.

    By default there are eight arenas for each processor, and the threads of each session take any
    of them. malloc_trim does not free the end of an arena, so each one stays as large as it has
    ever been. Measured over 200 sessions: 95 kB more for each one with 16 arenas, 9 kB with two.
    """
    _call("mallopt", _MXFAST, 0)
    _call("mallopt", _ARENA_MAX, ARENAS)


def give_back() -> None:
    """Free what earlier sessions have left, and return unused memory to the system.

    A publisher may end after its session, and what it leaves is then found here (malloc_trim(3)).
    Measured before the stream of 1,000 tables begins: 11 MB that the lookups had used.
    """
    collect_leftovers()
    _call("malloc_trim", 0)


def _call(function: str, *arguments: int) -> None:
    """Call a function of glibc, if the C library has it."""
    found = getattr(ctypes.CDLL(None), function, None)
    if found is not None:
        found(*arguments)
