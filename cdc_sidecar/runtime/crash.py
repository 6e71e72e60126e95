"""Turns unexpected exceptions into InternalError; only this module handles those of every type.

The message of the exception is left out, because it may hold a row value.
"""

import sys
import threading
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import FrameType, TracebackType

from cdc_sidecar.errors import InternalError, SidecarError


class CrashGuard:
    """A context that turns every exception that is not ours into an InternalError."""

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Translate the exception, unless it is one of ours.

        Raises:
            InternalError: the block raised something else.

        """
        if kind is not None and not isinstance(error, SidecarError):
            raise crash_error(kind, trace, threading.current_thread().name) from None


def crash_error(
    kind: type[BaseException], trace: TracebackType | None, thread: str
) -> InternalError:
    """Return the error of a thread that an exception of `kind` has ended."""
    memory = issubclass(kind, MemoryError)
    return InternalError(
        f"{kind.__name__} in thread {thread}",
        where=_places(trace),
        cause="the process was refused memory" if memory else "",
        hint="give the process more memory, then restart it"
        if memory
        else "report it with these lines; a restart continues from the position",
    )


def end_error(thread: str) -> InternalError:
    """Return the error of a thread that has ended although it was needed."""
    return InternalError(
        f"thread {thread} ended without an error",
        hint="report it; a restart continues from the position",
    )


def thread_stacks() -> dict[str, str]:
    """Return where each thread is, by its name: for a report on a process that seems to hang."""
    frames = sys._current_frames()  # noqa: SLF001 - documented, for this purpose
    return {
        thread.name: _joined(traceback.walk_stack(frames[thread.ident]))
        for thread in threading.enumerate()
        if thread.ident in frames
    }


def _places(trace: TracebackType | None) -> str:
    return _joined(reversed(list(traceback.walk_tb(trace))))


def _joined(frames: Iterable[tuple[FrameType, int]]) -> str:
    """Return file, line and function of each frame, the innermost first, without any value."""
    return " < ".join(
        f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in frames
    )
