"""The thread that waits for signals.

SIGTERM and SIGINT stop the sidecar in order, and so does SIGHUP if its terminal was closed;
otherwise SIGHUP loads the configuration anew. SIGQUIT writes to the log where each thread is.
"""

import os
import signal
import time
from collections.abc import Callable
from typing import Final

from cdc_sidecar.logs import Logger, flush_log
from cdc_sidecar.process import hold_signals, leave, taken_signals
from cdc_sidecar.runtime.crash import thread_stacks

POLL: Final = 0.1
"""Seconds between two looks for a pending signal. `signal.sigtimedwait` would wait without them,
but in a process that was frozen and continued it can return a signal that nobody has sent."""
OVERTIME: Final = 10.0
"""Seconds that a stop may take beyond the grace period before the process is ended at once: the
last requests to the servers have time-outs of their own."""
_STANDARD: Final = (0, 1, 2)
"""Descriptors that may be a terminal. One that was closed is a terminal no more."""
GAVE_UP: Final = 4
"""The exit status of a stop that took too long: a restart continues from the position."""


class SignalThread:
    """Waits for signals; `stop` is called with the name of the first that asks for a stop.

    `beat` is called at each look, and `reload` to load the configuration anew. A process whose stop
    takes `grace` seconds and more is ended.
    """

    def __init__(
        self,
        stop: Callable[[str], None],
        reload: Callable[[], None],
        beat: Callable[[], None],
        grace: float,
        log: Logger,
    ) -> None:
        self._stop = stop
        self._reload = reload
        self._terminals = [number for number in _STANDARD if os.isatty(number)]
        self._beat = beat
        self._grace = grace
        self._log = log
        self._end_by: float | None = None  # time.monotonic()

    def take_pending(self) -> None:
        """Take a signal that has arrived already; called before any thread is started."""
        hold_signals()
        self._take()

    def run(self) -> None:
        """Take signals until the process ends."""
        while True:
            self._beat()
            time.sleep(POLL)
            self._take()
            if self._end_by is not None and time.monotonic() > self._end_by:
                self._give_up()

    def _take(self) -> None:
        pending = signal.sigpending() & taken_signals()
        if not pending:
            return
        number = signal.Signals(signal.sigwait(pending))
        if number is signal.SIGQUIT:
            self._log.warning("threads_reported", threads=thread_stacks())
        elif number is signal.SIGHUP and all(map(os.isatty, self._terminals)):
            self._reload()
        elif self._end_by is None:
            self._end_by = time.monotonic() + self._grace + OVERTIME
            self._stop(number.name)

    def _give_up(self) -> None:
        """End a process whose main thread is stuck; nothing is lost that a kill would not lose."""
        self._log.error("stop_timed_out", threads=thread_stacks(), exit_status=GAVE_UP)
        flush_log()
        leave(GAVE_UP)
