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

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.host import clean_environment

_LAUNCHER = Path(__file__).with_name("launch.py")
_POLL_SECONDS = 0.05
_FAREWELL_SECONDS = 5.0
_TAIL_LINES = 25

_Popen = subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: the command with its full path, as whom, where, and where its output goes.

    `farewell` is the signal that ends it if this interpreter exits without having stopped it.
    """

    name: str
    command: Sequence[str | Path]
    folder: Path
    log_path: Path
    user: int | None = None
    farewell: signal.Signals = signal.SIGKILL


class ServerProcess:
    """One running server. The process id is the server's own, not that of a wrapper."""

    def __init__(self, program: Program) -> None:
        """Start `program`. Whether it answers is another question: `await_ready`."""
        self._program = program
        self._popen = _starter.call(self._start)
        _running.add(self)

    @property
    def pid(self) -> int:
        """The operating system's id of the server."""
        return self._popen.pid

    def is_alive(self) -> bool:
        """Tell whether the process still runs."""
        return self._popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Signal the server; does nothing once it has ended."""
        self._popen.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Wait for the end; False if it did not come within `seconds`."""
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        _running.discard(self)
        return True

    def stop(self, number: signal.Signals, seconds: float) -> None:
        """Ask for the end with `number`; after `seconds` kill, and raise ServerFailed."""
        self.send(number)
        if not self.wait(seconds):
            self.kill()
            raise self._error(f"did not end within {seconds:g} s of {number.name}, was killed")

    def kill(self) -> None:
        """End the server and its children with SIGKILL; returns when all of them are gone."""
        self.send(signal.SIGSTOP)  # so that it has no further children
        children = _children(self.pid) if self.is_alive() else []
        self.send(signal.SIGKILL)
        self.wait(_FAREWELL_SECONDS)
        for child in children:
            _kill_and_await(child)

    def await_ready(self, answers: Callable[[], bool], seconds: float) -> None:
        """Return once `answers()`.

        Raises:
            ServerFailed: the server ended first, or gave no answer within `seconds`.

        """
        deadline = time.monotonic() + seconds
        while not answers():
            if self.wait(_POLL_SECONDS):
                raise self._error(f"ended at start with status {self._popen.returncode}")
            if time.monotonic() > deadline:
                self.kill()
                raise self._error(f"gave no answer within {seconds:g} s")

    def take_leave(self) -> None:
        """End the server because this interpreter ends."""
        self.send(self._program.farewell)
        if not self.wait(_FAREWELL_SECONDS):
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
                start_new_session=True,  # Ctrl-C is for us: we stop the servers in order
            )

    def _error(self, what: str) -> ServerFailed:
        log = self._program.log_path
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        return ServerFailed("\n".join([f"{self._program.name} {what}; end of {log}:", *lines]))


def run_tool(command: Sequence[str | Path], *, folder: Path, user: int | None = None) -> None:
    """Run a tool of a server to its end; raises ServerFailed with its output if it fails."""
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
        raise ServerFailed(f"{' '.join(map(str, command))} failed:\n{done.stdout}")


def can_read(user: int, *paths: Path) -> bool:
    """Tell, by trying as that user, whether it can read or enter each of `paths`."""
    command = [*_launcher(), "read", str(user), *map(str, paths)]
    done = subprocess.run(command, check=False, stderr=subprocess.DEVNULL)  # noqa: S603 - as above
    return done.returncode == 0


def _launched(command: Sequence[str | Path], user: int | None) -> list[str]:
    as_user = "-" if user is None else str(user)
    return [*_launcher(), "start", str(os.getpid()), as_user, *map(str, command)]


def _launcher() -> list[str]:
    return [sys.executable, "-I", "-S", str(_LAUNCHER)]


def _children(pid: int) -> list[int]:
    """Return descriptors, not ids: they mean the same process even when its id is used again."""
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
    ended.poll(_FAREWELL_SECONDS * 1000)
    os.close(child)


class _Starter:
    """Starts every server from one thread that lives as long as this process.

    The kernel's promise, SIGKILL when the parent dies, is about the parent *thread*.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wishes: SimpleQueue[tuple[Callable[[], _Popen], Future[_Popen]]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def call(self, start: Callable[[], _Popen]) -> _Popen:
        """Have `start` called by the thread; returns its result, raises what it raises."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="starter", daemon=True)
                self._thread.start()
        future: Future[_Popen] = Future()
        self._wishes.put((start, future))
        return future.result()

    def _run(self) -> None:
        while True:
            start, future = self._wishes.get()
            try:
                future.set_result(start())
            except OSError as error:
                future.set_exception(error)


_starter = _Starter()
_running: set[ServerProcess] = set()
_owner = os.getpid()


@atexit.register
def _end_all() -> None:
    if os.getpid() == _owner:  # a fork of this process started nothing
        for process in list(_running):
            process.take_leave()
