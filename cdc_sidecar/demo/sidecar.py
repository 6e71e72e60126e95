"""The demo's sidecar: the real daemon in its own process, which is killed and started again."""

import signal
import sys
import time
import urllib.error
import urllib.request
from enum import Enum
from http import HTTPStatus
from pathlib import Path
from typing import Final

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.host import package_home
from cdc_sidecar.servers.process import Program, ServerProcess

_REQUEST_SECONDS: Final = 0.5  # for one answer: the screen waits for it
_STOP_SECONDS: Final = 30.0  # it ends its transaction first, which takes seconds
_TAIL_LINES: Final = 12  # of the log, below the screen


class Health(Enum):
    """The state of the sidecar, seen from outside."""

    STARTING = "starting"
    STREAMING = "streaming"
    KILLED = "KILLED"
    STOPPED = "stopped"
    ENDED = "ended by itself"


class Sidecar:
    """One `cdc-sidecar run` at a time. All of them append to the same log."""

    def __init__(self, config: Path, log: Path, port: int) -> None:
        """Describe the sidecar; `port` is its HTTP port in `config`."""
        command = [sys.executable, "-m", "cdc_sidecar", "run", "--config", str(config)]
        self._program = Program("Sidecar", command, package_home(), log)
        self._url = f"http://127.0.0.1:{port}/readyz"
        self._process: ServerProcess | None = None
        self._killed = self._ready = self._stopped = False
        self.log = log
        self.kills = 0
        self.killed_at = 0.0  # monotonic

    @property
    def health(self) -> Health:
        """The state; until the sidecar streams, this asks its `/readyz`."""
        if self._killed or self._stopped:
            return Health.KILLED if self._killed else Health.STOPPED
        if self._process is None or not self._process.is_alive():
            return Health.STARTING if self._process is None else Health.ENDED
        self._ready = self._ready or self._answers()
        return Health.STREAMING if self._ready else Health.STARTING

    @property
    def pid(self) -> int:
        """The process id of the last one that was started, or 0."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start it without waiting until it streams."""
        self._process = ServerProcess(self._program)
        self._killed = self._ready = False

    def kill(self) -> None:
        """End it with SIGKILL at an arbitrary moment."""
        if self._process is not None and self._process.is_alive():
            self._process.kill()
            self._killed = True
            self.kills += 1
            self.killed_at = time.monotonic()

    def stop(self) -> None:
        """Stop it with SIGTERM, as an operator would.

        Raises:
            ServerFailed: it had to be killed.

        """
        if self._process is not None and self._process.is_alive():
            self._stopped = True
            self._process.stop(signal.SIGTERM, _STOP_SECONDS)

    def end(self) -> None:
        """Kill it if it still runs."""
        if self._process is not None and self._process.is_alive():
            self._process.kill()

    def log_end(self) -> str:
        """Return the end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def await_streaming(self, seconds: float) -> None:
        """Wait until it streams.

        Raises:
            ServerFailed: it ends first, or does not stream within `seconds`.

        """
        if self._process is None:
            raise ServerFailed("the sidecar was not started")
        self._process.await_ready(lambda: self.health is Health.STREAMING, seconds)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self._url, timeout=_REQUEST_SECONDS) as answer:  # noqa: S310 - our own address
                return bool(answer.status == HTTPStatus.OK)
        except (OSError, urllib.error.URLError):
            return False
