"""The sidecar that gets a signal while it imports a module.

`python -m tests.acceptance.interrupted_import SIGNAL MODULE COMMAND…`
"""

import os
import signal
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

from cdc_sidecar.__main__ import main


class Interruption(MetaPathFinder):
    """Sends the signal to its own process when the module is looked for; finds nothing itself."""

    def __init__(self, number: signal.Signals, module: str) -> None:
        self._number = number
        self._module = module

    def find_spec(
        self,
        fullname: str,
        _path: Sequence[str] | None,
        _target: ModuleType | None = None,
    ) -> None:
        """Send the signal, or do nothing."""
        if fullname == self._module:
            os.kill(os.getpid(), self._number)


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # inherited, as in a shell's background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.meta_path.insert(0, Interruption(signal.Signals[sys.argv.pop(1)], sys.argv.pop(1)))
    main()
