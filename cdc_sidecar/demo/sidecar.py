"""The demo's sidecar: the real daemon, a process of its own that is killed and started again."""

import signal
import sys
import time
import urllib.error
import urllib.request
from enum import Enum
from pathlib import Path
from typing import Final

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.host import package_home
from cdc_sidecar.servers.process import Program, ServerProcess

_ASK_SECONDS: Final = 0.5
_STOP_SECONDS: Final = 30.0
_TAIL_LINES: Final = 12


class Health(Enum):
    """What the sidecar is doing, seen from outside."""

    STARTING = "starting"
    STREAMING = "streaming"
    KILLED = "KILLED"
    STOPPED = "stopped"
    ENDED = "ended by itself"


class Sidecar:
    """One `cdc-sidecar run` at a time; its log goes on from one to the next."""

    def __init__(self, config: Path, log: Path, port: int) -> None:
        """Describe it; `port` is that of its HTTP in `config`."""
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
        """Ask the process, and until it streams also its `/readyz`."""
        if self._killed or self._stopped:
            return Health.KILLED if self._killed else Health.STOPPED
        if self._process is None or not self._process.is_alive():
            return Health.STARTING if self._process is None else Health.ENDED
        self._ready = self._ready or self._answers()
        return Health.STREAMING if self._ready else Health.STARTING

    @property
    def pid(self) -> int:
        """The process id of the one that was started last."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start it; `health` tells when it streams."""
        self._process = ServerProcess(self._program)
        self._killed = self._ready = False

    def kill(self) -> None:
        """End it with SIGKILL, in the middle of whatever it does."""
        if self._process is not None and self._process.is_alive():
            self._process.kill()
            self._killed = True
            self.kills += 1
            self.killed_at = time.monotonic()

    def stop(self) -> None:
        """Stop it as an operator would; raises ServerFailed if it does not come to its end."""
        if self._process is not None and self._process.is_alive():
            self._stopped = True
            self._process.stop(signal.SIGTERM, _STOP_SECONDS)

    def end(self) -> None:
        """End it at once, if it still runs."""
        if self._process is not None and self._process.is_alive():
            self._process.kill()

    def last_words(self) -> str:
        """Return the end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def await_streaming(self, seconds: float) -> None:
        """Return once it streams; raises ServerFailed with the end of its log if it does not."""
        if self._process is None:
            raise ServerFailed("the sidecar was not started")
        self._process.await_ready(lambda: self.health is Health.STREAMING, seconds)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self._url, timeout=_ASK_SECONDS) as answer:  # noqa: S310 - http, ours
                return bool(answer.status == 200)  # noqa: PLR2004
        except (OSError, urllib.error.URLError):
            return False
