"""The start and end of the process: descriptors, garbage collector, imports, signals, exit.

`cdc_sidecar.__main__` calls this module before any slow import, so it imports nothing slow.
"""

import gc
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

_STANDARD: Final = (0, 1, 2)
"""The descriptors of standard input, output and error."""
_LAST_WORDS: Final = 1000
"""Milliseconds that the last message of a process waits for room in a full pipe."""


def fill_descriptors() -> None:
    """Give every standard descriptor that is closed to /dev/null.

    Otherwise the next socket would get its number, and whatever a library prints would be sent to
    the peer. The descriptor can only be read, so that a write to it fails and is noticed.
    """
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDONLY)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)


def collect_rarely() -> None:
    """Let the garbage collector run rarely.

    Thresholds: the youngest generation every 50,000 objects, about ten parts of a transaction; the
    older ones after 20 and 100 runs of the next younger. Imports and records form few cycles, but
    each of their objects counts towards a run. Measured: a tenth of the start, and on small rows 2
    to 3 % of the replication thread's time.
    """
    gc.set_threshold(50_000, 20, 100)


@contextmanager
def without(library: str) -> Iterator[None]:
    """Let the modules that are imported in this block believe that a library is not installed."""
    modules: dict[str, Any] = sys.modules
    if library in modules:
        yield
        return
    modules[library] = None
    try:
        yield
    finally:
        del modules[library]


def taken_signals() -> frozenset[signal.Signals]:
    """Return the signals that `run` takes: those that stop it, and the one for a report.

    SIGHUP is left alone where the parent lets it be ignored, as `nohup` does.
    """
    taken = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        taken.add(signal.SIGHUP)
    return frozenset(taken)


def hold_signals() -> None:
    """Keep these signals pending until a thread waits for them.

    Every later thread inherits this. A pending signal is not lost: process 1 of a container would
    otherwise not receive a signal for which it has no handler.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, taken_signals())


def interrupt_silently() -> None:
    """Let Ctrl-C end the process without a traceback, until `interrupt_by_exception`."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt_by_exception() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def complain(text: str) -> None:
    """Write a last message to standard error, as far as somebody reads it."""
    room = select.poll()
    room.register(2, select.POLLOUT)
    with suppress(OSError):
        if room.poll(_LAST_WORDS):
            os.write(2, f"{text}\n".encode(errors="backslashreplace"))


def leave(status: int) -> None:
    """End the process now.

    The interpreter's own end would wait for helper threads that a server keeps waiting, and a
    thread that writes during it can crash the process.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError, ValueError):  # None, or closed
            stream.flush()
    os._exit(status)
