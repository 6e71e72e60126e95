"""Processes of the sidecar that are forked from one that has imported it.

Imports take two thirds of a start, and the tests start the sidecar a thousand times. What happens
from the first line of `cdc_sidecar.__main__` on is the same. `python -m tests.acceptance.forked` is
the process that forks; it ends when the test process does.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from cdc_sidecar.events import twin

_READ_BY_IMPORTS: Final = ("PYTHON", "LANG", "LC_", "TZ", twin.VARIABLE)
"""The beginnings of names of variables that count before the first line of `__main__`."""
_LONGEST: Final = 200_000  # bytes of a request
_ANSWER: Final = 30.0  # seconds until a process is forked


def _of_imports(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in environment.items() if name.startswith(_READ_BY_IMPORTS)}


_IMPORTED_WITH: Final = _of_imports(os.environ)


def may_fork(environment: Mapping[str, str]) -> bool:
    """Return whether a forked process can have this environment."""
    return _of_imports(environment) == _IMPORTED_WITH


class Forked:
    """A process, with the methods of `subprocess.Popen` that the tests use."""

    def __init__(self, pid: int, status: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        """Return how it ended; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends; return its exit status, or less a signal.

        Raises:
            subprocess.TimeoutExpired: it still runs.

        """
        if self.returncode is None:
            self._status.settimeout(timeout)
            try:
                self.returncode = int(self._status.recv(100))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired([str(self.pid)], timeout or 0) from None
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)


def fork(words: Sequence[str], stdout: int, stderr: int, environment: Mapping[str, str]) -> Forked:
    """Start `cdc-sidecar` with these words; the descriptors stay open here."""
    request = {
        "words": list(words),
        "environment": dict(environment),
        "folder": str(Path.cwd()),
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        descriptors = [0, stdout, stderr, theirs.fileno()]
        socket.send_fds(_server(), [json.dumps(request).encode()], descriptors)
    ours.settimeout(_ANSWER)
    pid = int(ours.recv(100))
    ours.settimeout(None)
    return Forked(pid, ours)


@cache
def _server() -> socket.socket:
    """Return the connection to the process that forks, which is started for the first request."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    others = {name: os.environ[name] for name in os.environ.keys() - _of_imports(os.environ)}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.forked", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env={**others, **_IMPORTED_WITH},
        )

    def end() -> None:
        ours.close()
        process.wait(10)

    atexit.register(end)
    return ours


class _Server:
    """The process that forks."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._ended, self._wake = socket.socketpair()
        self._children: dict[int, socket.socket] = {}
        self._wake.settimeout(0)
        signal.set_wakeup_fd(self._wake.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> list[str] | None:
        """Fork for each request; return the words in a new process, and None at the end."""
        while True:
            ready, _, _ = select.select([self._requests, self._ended], [], [])
            if self._ended in ready:
                self._ended.recv(1000)
                self._report()
            if self._requests in ready:
                text, descriptors, _, _ = socket.recv_fds(self._requests, _LONGEST, 4)
                if not text:
                    return None
                request = json.loads(text)
                pid = os.fork()
                if not pid:
                    self._become(request, descriptors)
                    return list(request["words"])
                self._remember(pid, descriptors)

    def _remember(self, pid: int, descriptors: list[int]) -> None:
        *standard, status = descriptors
        for descriptor in standard:
            os.close(descriptor)
        self._children[pid] = socket.socket(fileno=status)
        self._children[pid].send(b"%d" % pid)

    def _report(self) -> None:
        """Say of each process that has ended how it did."""
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with suppress(OSError), self._children.pop(pid) as child:  # nobody may wait for it
                child.send(b"%d" % os.waitstatus_to_exitcode(status))

    def _become(self, request: dict[str, object], descriptors: list[int]) -> None:
        """Take on what the request says, and give up what is the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for mine in (self._requests, self._ended, self._wake, *self._children.values()):
            mine.detach()  # closed below; the number will be another file's
        for number, descriptor in enumerate(descriptors[:3]):
            os.dup2(descriptor, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.environ.clear()
        os.environ.update(request["environment"])  # type: ignore[call-overload]
        os.chdir(str(request["folder"]))
        time.tzset()
        _open_streams()


def _open_streams() -> None:
    """Open the standard streams as the interpreter does at its start."""
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False, errors="backslashreplace", buffering=1)


def _import_all() -> None:
    commands = importlib.import_module("cdc_sidecar.commands")
    for module in pkgutil.iter_modules(commands.__path__, "cdc_sidecar.commands."):
        importlib.import_module(module.name)
    importlib.import_module("cdc_sidecar.cli")


def main() -> None:
    """Serve; in a forked process, run the command line."""
    _import_all()
    gc.freeze()  # or each forked process would look through all modules, and so copy their memory
    words = _Server(socket.socket(fileno=int(sys.argv[1]))).serve()
    if words is not None:
        sys.argv[1:] = words
        runpy.run_module("cdc_sidecar", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
