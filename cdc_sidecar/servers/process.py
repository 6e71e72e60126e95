"""A server process that never outlives the process that started it."""

import atexit
import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.host import clean_environment

_LAUNCHER: Final = Path(__file__).with_name("launch.py")
_POLL_SECONDS: Final = 0.05  # between two attempts to reach a server: short beside any start
_EXIT_SECONDS: Final = 5.0  # for a server to end when this interpreter exits
_TAIL_LINES: Final = 25  # of the log in an error: a Java exception with its cause fits

_Popen = subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True)
class Program:
    """A command with its full path, its user, its working folder and its log file.

    `exit_signal` is sent if this interpreter exits while the program still runs.
    """

    name: str
    command: Sequence[str | Path]
    folder: Path
    log_path: Path
    user: int | None = None
    exit_signal: signal.Signals = signal.SIGKILL


class ServerProcess:
    """One running server. The process id is the server's own, not that of a wrapper."""

    def __init__(self, program: Program) -> None:
        """Start `program`; `await_ready` waits until it answers."""
        self._program = program
        self._popen = _starter.call(self._start)
        _running.add(self)

    @property
    def pid(self) -> int:
        """The operating system's id of the server."""
        return self._popen.pid

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        return self._popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server; do nothing if the server has ended."""
        self._popen.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the process; return False if it still runs after `seconds`."""
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        _running.discard(self)
        return True

    def stop(self, number: signal.Signals, seconds: float) -> None:
        """End the server with the signal `number`; kill it if it still runs after `seconds`.

        Raises:
            ServerFailed: the server had to be killed.

        """
        self.send(number)
        if not self.wait(seconds):
            self.kill()
            raise self._failed(
                f"did not end within {seconds:g} s of {number.name} and was killed",
                "see in the log which step of the shutdown did not end",
            )

    def kill(self) -> None:
        """End the server and its children with SIGKILL; return when all of them have ended."""
        self.send(signal.SIGSTOP)  # it must not start further children
        children = _children(self.pid) if self.is_alive() else []
        self.send(signal.SIGKILL)
        self.wait(_EXIT_SECONDS)
        for child in children:
            _kill_and_await(child)

    def await_ready(self, answers: Callable[[], bool], seconds: float) -> None:
        """Wait until `answers()` is true.

        Raises:
            ServerFailed: the server ended first, or gave no answer within `seconds`.

        """
        deadline = time.monotonic() + seconds
        while not answers():
            if self.wait(_POLL_SECONDS):
                raise self._failed(
                    f"ended at start with status {self._popen.returncode}",
                    "correct the setting or the file that the log names",
                )
            if time.monotonic() > deadline:
                self.kill()
                raise self._failed(
                    f"gave no answer within {seconds:g} s",
                    "see in the log how far the start came; a busy machine needs more time",
                )

    def end_at_exit(self) -> None:
        """End the server because this interpreter exits."""
        self.send(self._program.exit_signal)
        if not self.wait(_EXIT_SECONDS):
            self.kill()

    def _start(self) -> _Popen:
        with self._program.log_path.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own command, no shell
                _launched(self._program.command, self._program.user),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._program.folder,
                env=clean_environment(),
                start_new_session=True,  # Ctrl-C must reach us alone: we stop servers in order
            )

    def _failed(self, fact: str, hint: str) -> ServerFailed:
        log = self._program.log_path
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        return ServerFailed(
            f"{self._program.name} {fact}",
            where=str(log),
            cause="\n".join(["the log ends with:", *lines]),
            hint=hint,
        )


def run_tool(command: Sequence[str | Path], *, folder: Path, user: int | None = None) -> None:
    """Run a tool of a server to its end.

    Raises:
        ServerFailed: the tool failed; the error contains its output.

    """
    done = subprocess.run(  # noqa: S603 - our own command, no shell
        _launched(command, user),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=clean_environment(),
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise ServerFailed(
            f"a tool of a server ended with status {done.returncode}",
            where=" ".join(map(str, command)),
            cause=done.stdout.rstrip(),
            hint="correct the option or the file that the output names",
        )


def can_read(user: int, *paths: Path) -> bool:
    """Return whether `user` can read or enter each of `paths`, by trying it as that user."""
    command = [*_launcher(), "read", str(user), *map(str, paths)]
    done = subprocess.run(command, check=False, stderr=subprocess.DEVNULL)  # noqa: S603 - as above
    return done.returncode == 0


def _launched(command: Sequence[str | Path], user: int | None) -> list[str]:
    as_user = "-" if user is None else str(user)
    return [*_launcher(), "start", str(os.getpid()), as_user, *map(str, command)]


def _launcher() -> list[str]:
    return [sys.executable, "-I", "-S", str(_LAUNCHER)]


def _children(pid: int) -> list[int]:
    """Return the children as descriptors: a process id may be reused, a descriptor is not."""
    children = []
    with contextlib.suppress(OSError):
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        for child in map(int, listed.split()):
            with contextlib.suppress(OSError):
                children.append(os.pidfd_open(child))
    return children


def _kill_and_await(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(child, signal.SIGKILL)
    ended = select.poll()
    ended.register(child, select.POLLIN)
    ended.poll(_EXIT_SECONDS * 1000)
    os.close(child)


class _Starter:
    """Starts every server from one thread that lives as long as this process.

    The kernel sends the SIGKILL of PR_SET_PDEATHSIG when the parent *thread* ends, not the process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: SimpleQueue[tuple[Callable[[], _Popen], Future[_Popen]]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def call(self, start: Callable[[], _Popen]) -> _Popen:
        """Call `start` in the thread; return its result or raise its exception."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="starter", daemon=True)
                self._thread.start()
        future: Future[_Popen] = Future()
        self._requests.put((start, future))
        return future.result()

    def _run(self) -> None:
        while True:
            start, future = self._requests.get()
            try:
                future.set_result(start())
            except OSError as error:
                future.set_exception(error)


_starter = _Starter()
_running: set[ServerProcess] = set()
_owner = os.getpid()


@atexit.register
def _end_all() -> None:
    if os.getpid() == _owner:  # a fork of this process started no server
        for process in list(_running):
            process.end_at_exit()
