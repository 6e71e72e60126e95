"""The sidecar with a broken thread: `python -m tests.acceptance.broken_thread NAME ERROR run`.

Once the file that VARIABLE names exists, the thread whose name begins with NAME gets the exception
ERROR at its next step. With ERROR `hang` every thread that beats stands still instead. With ERROR
`start` the main thread stands still in the step NAME of the start, from the beginning.
"""

import builtins
import ctypes
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from cdc_sidecar.cli import main
from cdc_sidecar.logs import get_logger
from cdc_sidecar.runtime import beats, publisher, status
from cdc_sidecar.runtime.guardian import Guardian
from cdc_sidecar.runtime.publisher import Publisher
from cdc_sidecar.runtime.signals import SignalThread
from cdc_sidecar.runtime.standby import Failure
from cdc_sidecar.runtime.start import SessionStart
from cdc_sidecar.runtime.upkeep import Upkeep
from tests.waiting import await_true

VARIABLE = "CDC_SIDECAR_TEST_TRIGGER"
LIMIT = 3.0  # seconds; the real ones are minutes
_STEPS = (
    (Guardian, "_is_due"),
    (Publisher, "_step"),
    (SignalThread, "_take"),
    (Upkeep, "tend"),
    (Failure, "await_wake"),
)


def _raise(name: str, error: str) -> None:
    (ident,) = [
        thread.ident for thread in threading.enumerate() if thread.name.split("-")[0] == name
    ]
    kind = ctypes.py_object(getattr(builtins, error))
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident or 0), kind)
    get_logger().info("thread_broken")  # wakes the thread that writes the log


def _hang(steps: Iterable[tuple[type, str]] = _STEPS) -> None:
    for owner, method in steps:
        setattr(owner, method, lambda *_: threading.Event().wait())


def _break(name: str, error: str) -> None:
    await_true(Path(os.environ[VARIABLE]).exists, deadline=60, what="the trigger")
    if error == "hang":
        _hang()
    else:
        _raise(name, error)


if __name__ == "__main__":
    beats.LIMITS.update(dict.fromkeys(beats.LIMITS, LIMIT))
    status.STUCK_AFTER = LIMIT
    publisher.BEAT_INTERVAL = LIMIT / 3  # type: ignore[misc] # a constant elsewhere
    broken = (sys.argv.pop(1), sys.argv.pop(1))
    if broken[1] == "start":
        _hang([(SessionStart, broken[0].partition(".")[2])])
    else:
        threading.Thread(target=_break, args=broken, name="breaker", daemon=True).start()
    main()
