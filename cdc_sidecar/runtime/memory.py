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
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_MXFAST, 0)


def give_back() -> None:
    """Give unused memory back to the system (malloc_trim(3); only glibc has it).

    Measured before the stream of 1,000 tables begins: 11 MB of what looking them up took.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
