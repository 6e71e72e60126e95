"""What the process does about memory that Python and the C library would keep for themselves."""

import ctypes
import gc
from typing import Final

_MXFAST: Final = 1  # M_MXFAST of malloc.h


def calm_collector() -> None:
    """Let the garbage collector run seldom: records are no cycles, yet each one counts for it.

    Measured on a drain of small rows: 2 to 3 % of the replication thread's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def calm_allocator() -> None:
    """Let glibc's malloc keep no fast bins (mallopt(3)): each large piece would walk them all.

    Measured on drains of small rows, of rows of 1 kB and of 1,000 tables: 2 to 3 % of the CPU time.
    """
    _call("mallopt", _MXFAST, 0)


def give_back() -> None:
    """Give unused memory back to the system (malloc_trim(3)).

    Measured before the stream of 1,000 tables begins: 11 MB of what looking them up took.
    """
    _call("malloc_trim", 0)


def _call(function: str, *arguments: int) -> None:
    """Call a function of glibc; other C libraries have none of these."""
    found = getattr(ctypes.CDLL(None), function, None)
    if found is not None:
        found(*arguments)
