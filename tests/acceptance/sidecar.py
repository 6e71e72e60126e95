"""The sidecar as a user runs it: a process, a configuration file and an HTTP port."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.acceptance.forked import Forked, fork, may_fork
from tests.effort import LONG
from tests.waiting import await_true

_CONSTANT_LABELS = re.compile(r'\b(?:service|slot)="[^"]*",?')

CONFIG = """
[service]
name = "{service}"

[postgres]
dsn = "{dsn}"
slot = "{slot}"
publication = "cdc"
create_slot = true

[kafka]
bootstrap_servers = "{kafka}"

[topics]
create = true
partitions = 3
replication_factor = 1

[publish]
transaction_timeout = "30s"

[snapshot]
mode = "never"

[http]
listen = "127.0.0.1:{port}"

[log]
level = "debug"
"""

_PROGRAM = (sys.executable, "-m", "cdc_sidecar")


class Sidecar:
    """One configured sidecar, which a test can start and end several times."""

    is_fresh = LONG  # whether each process imports everything itself

    def __init__(self, config: Path, port: int) -> None:
        self.config = config
        self.port = port
        self.log_path = config.with_suffix(".log")
        self.program: tuple[str, ...] = ("cdc_sidecar",)  # the module and its first arguments
        self.wrapper: tuple[str, ...] = ()  # a command that starts the one after it
        self.stderr: int | None = None  # where it logs to, instead of its file
        self._process: subprocess.Popen[bytes] | Forked | None = None

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Start the process."""
        words = ["run", "--config", str(self.config), *arguments]
        variables = {**os.environ, **(environment or {})}
        program = (*self.wrapper, sys.executable, "-m", *self.program)
        with self.log_path.open("ab") as log:
            stderr = log.fileno() if self.stderr is None else self.stderr
            self._process = self._launch(program, words, log.fileno(), stderr, variables)

    def _launch(
        self,
        program: tuple[str, ...],
        words: list[str],
        stdout: int,
        stderr: int,
        variables: Mapping[str, str],
    ) -> subprocess.Popen[bytes] | Forked:
        """Start a process, which is forked if nothing about it is special."""
        if program == _PROGRAM and not self.is_fresh and may_fork(variables):
            return fork(words, stdout, stderr, variables)
        return subprocess.Popen([*program, *words], stdout=stdout, stderr=stderr, env=variables)

    def start_and_stream(self, *arguments: str) -> None:
        """Start the process and wait until it streams."""
        self.start(*arguments)
        self.await_phase("streaming")

    @property
    def process(self) -> subprocess.Popen[bytes] | Forked:
        """The last process that was started."""
        assert self._process is not None
        return self._process

    def await_phase(self, phase: str, deadline: float = 40.0) -> None:
        """Wait until `/status` shows this state; fail at once if the process ends."""

        def reached() -> bool:
            assert self.process.poll() is None, f"it ended:\n{self.log_text()}"
            status = self.status()
            return status is not None and status["phase"] == phase

        self.await_true(reached, deadline=deadline, what=f"phase {phase}")

    def await_true(self, condition: Callable[[], object], *, deadline: float, what: str) -> None:
        """Wait like `waiting.await_true`; a failure shows `/status` and the log."""
        try:
            await_true(condition, deadline=deadline, what=what)
        except AssertionError as error:
            error.add_note(f"{self.status()}\n{self.log_text()}")
            raise

    def status(self) -> dict[str, Any] | None:
        """Return `/status`, or None if there is no answer."""
        code, body = self.get("/status")
        return json.loads(body) if code == 200 else None

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a GET, or (0, "") if there is no answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (OSError, http.client.HTTPException):  # it is gone, or ends while it answers
            return 0, ""

    def scrape(self) -> str:
        """Return the text of a scrape without the labels that every series has; "" if none."""
        text = _CONSTANT_LABELS.sub("", self.get("/metrics")[1])
        return text.replace(",}", "}").replace("{}", "")

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self, deadline: float = 75.0) -> int:
        """Stop it with SIGTERM; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(deadline)

    def await_exit(self, deadline: float = 60.0) -> int:
        """Wait until it ends without a signal; return its exit status."""
        return self.process.wait(deadline)

    def log_text(self) -> str:
        """Return its whole output so far."""
        return self.log_path.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of one name in its log."""
        return [event for event in self.all_events() if event.get("event") == name]

    def all_events(self) -> list[dict[str, Any]]:
        """Return the events in its log, in order."""
        lines = self.log_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run another command with the same configuration."""
        command, *rest = arguments
        words = [*command.split(), "--config", str(self.config), *rest]
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            files = (output.fileno(), errors.fileno())
            process = self._launch(_PROGRAM, words, *files, os.environ)
            try:
                status = process.wait(90)
            finally:
                process.kill()
            texts = [(file.seek(0), file.read())[1] for file in (output, errors)]
        return subprocess.CompletedProcess(words, status, *texts)

    def close(self) -> None:
        """End the process if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self.kill()
