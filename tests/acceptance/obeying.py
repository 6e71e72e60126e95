"""A person who does what the hint of an error says, word by word, until the sidecar runs."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (
    AdminClient,
)

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import Service
from tests.acceptance.howto import Page
from tests.acceptance.setup import run_script
from tests.topics import set_topic
from tests.waiting import await_true

_ROUNDS = 25
"""A hint may lead to an error that could not be seen before."""
_TOOLS = {
    "acls": "org.apache.kafka.tools.AclCommand",
    "configs": "kafka.admin.ConfigCommand",
    "topics": "org.apache.kafka.tools.TopicCommand",
}
_ERROR = re.compile(r"^(CDC-\d+) .*?^  hint: +(.*?)$(?!\n {9})", re.MULTILINE | re.DOTALL)


def set_key(text: str, section: str, key: str, value: str) -> str:
    """Return a configuration with another value of a key; `value` is as TOML spells it."""
    name = f'"{key}"' if "." in key else key
    before, header, after = text.partition(f"[{section}]\n")
    if not header:
        return f"[{section}]\n{name} = {value}\n\n{text}"
    keys, bracket, others = after.partition("\n[")
    kept = [line for line in keys.splitlines() if not line.startswith(f"{name} = ")]
    changed = "\n".join([f"{name} = {value}", *kept])
    return f"{before}{header}{changed}\n{bracket}{others}"


@dataclass
class Person:
    """A person with a service, its servers, and a shell."""

    service: Service
    kafka: KafkaBroker
    postgres: PostgresServer
    arguments: tuple[str, ...] = ()  # of the next start
    code: str = ""  # of the error that is followed
    fact: str = ""  # of this error
    environment: dict[str, str] = field(default_factory=dict)
    credentials: tuple[str, ...] = ()  # options with which an administrator calls Kafka's tools

    def start_and_obey(self) -> list[str]:
        """Start the sidecar, follow each error, and see it publish; return the codes."""
        codes = self.start_until_streaming()
        self.service.await_published()
        return codes

    def start_until_streaming(self) -> list[str]:
        """Start the sidecar until it streams, and follow each error; return the codes."""
        codes: list[str] = []
        while error := self.start():
            codes.append(error["code"])
            assert len(codes) < _ROUNDS, codes
            self.obey(error)
        return codes

    def obey_halt(self) -> str:
        """Wait until the sidecar ends, and follow the error; return its code."""
        sidecar = self.service.sidecar
        assert sidecar.await_exit() == 3, sidecar.log_text()
        error = self.error(sidecar.log_text())
        self.obey(error)
        return str(error["code"])

    def start(self) -> dict[str, Any] | None:
        """Start the sidecar; return the error with which it ends, or None when it streams."""
        sidecar, arguments = self.service.sidecar, self.arguments
        self.arguments, seen = (), len(sidecar.log_text()) if sidecar.log_path.exists() else 0
        sidecar.start(*arguments, environment=self.environment)
        try:
            await_true(
                lambda: self._runs(seen) or sidecar.process.poll() is not None, what="it runs"
            )
        except AssertionError as error:
            error.add_note(sidecar.log_text()[seen:])
            raise
        if sidecar.process.poll() is None:
            return None
        return self.error(sidecar.log_text()[seen:])

    def _runs(self, seen: int) -> bool:
        """Return whether the sidecar streams; `seen` is the length of the log at its start."""
        for event in _events(self.service.sidecar.log_text()[seen:]):
            self.service.sidecar.port = event.get("http_port", self.service.sidecar.port)
        status = self.service.sidecar.status()
        return status is not None and status["phase"] == "streaming"

    def error(self, text: str) -> dict[str, Any]:
        """Return the last error of a log or of the output of a command."""
        assert "Traceback" not in text, text
        halts = [event for event in _events(text) if event["event"] == "sidecar_halted"]
        if halts:
            return halts[-1]
        found = _ERROR.search(text)
        assert found, text
        return {"code": found[1], "fact": found[0], "hint": found[2]}

    def obey(self, error: dict[str, Any]) -> None:
        """Do the first thing that the hint of an error says."""
        hint, self.code, self.fact = error["hint"], error["code"], error["fact"]
        ways: Sequence[tuple[str, Callable[[re.Match[str]], None]]] = (
            (r'set "?([\w.]+)"? = ([^ ,;]+)(?: \([^)]*\))? in \[([\w.]+)\]', self._set),
            (r'set (truncate = "\w+")', self._append),
            (r'set (on_error = "park") in the block of outbox (\S+)', self._park),
            (r"correct (.+?) in \[kafka.client\], or remove it", self._remove),
            (r"set (\w+) in \[(\w+)\] to at most the number of brokers", self._set_to_brokers),
            (r"run kafka-(\w+)\.sh ([^;\n(]+)", self._run_tool),
            (r"raise (\S+) of topic (\S+) to at least (\d+)", self._raise),
            (r"(SELECT pg_\w+\([^)]*\)|ALTER SYSTEM SET \w+ = \w+)", self._run_sql),
            (r"(?:`cdc-sidecar (setup-sql --diff)`.*)?recover-a-lost-slot", self._recover),
            (r"`cdc-sidecar ([^`]+)`", self._run_command),
            (r"unset (\w+)", self._unset),
            (r"remove the line that the message names", self._remove_line),
            (r"correct the file or the variables", self._correct_keys),
            (r"mount the file", self._restore_file),
            (r"correct (\w+)\.(dsn|bootstrap_servers)", self._correct_address),
            (r"give it a (service)\.(name) of its own", self._rename),
        )
        found = [(list(re.finditer(pattern, hint)), do) for pattern, do in ways]
        assert any(matches for matches, _ in found), hint
        first = min((each for each in found if each[0]), key=lambda each: each[0][0].start())
        for match in first[0]:
            first[1](match)
        if "restart the server" in hint:
            self.postgres.stop()
            self.postgres.start()

    def _configure(self, text: str) -> None:
        assert text != self.service.sidecar.config.read_text()
        self.service.sidecar.config.write_text(text)

    def _set(self, found: re.Match[str]) -> None:
        key, value, section = found.groups()
        self._configure(set_key(self.service.sidecar.config.read_text(), section, key, value))

    def _set_to_brokers(self, found: re.Match[str]) -> None:
        admin = AdminClient({"bootstrap.servers": self.service.kafka})
        brokers = str(len(admin.list_topics(timeout=20).brokers))
        config = self.service.sidecar.config.read_text()
        self._configure(set_key(config, found[2], found[1], brokers))

    def _unset(self, found: re.Match[str]) -> None:
        del self.environment[found[1]]

    def _remove_line(self, _found: re.Match[str]) -> None:
        (number,) = re.findall(r"at line (\d+)", self.fact)
        lines = self.service.sidecar.config.read_text().splitlines(keepends=True)
        del lines[int(number) - 1]
        self._configure("".join(lines))

    def _correct_keys(self, _found: re.Match[str]) -> None:
        config = self.service.sidecar.config.read_text()
        for wrong, meant in re.findall(r"(\w+): unknown key.*did you mean (\w+)\?", self.fact):
            config = config.replace(f"{wrong} = ", f"{meant} = ")
        self._configure(config)

    def _restore_file(self, _found: re.Match[str]) -> None:
        (path,) = re.findall(r"file (\S+): ", self.fact)
        Path(path).write_text("restored")

    def _correct_address(self, found: re.Match[str]) -> None:
        section, key = found.groups()
        right = {"dsn": self.service.dsn, "bootstrap_servers": self.service.kafka}[key]
        config = self.service.sidecar.config.read_text()
        self._configure(set_key(config, section, key, f'"{right}"'))

    def _rename(self, found: re.Match[str]) -> None:
        section, key = found.groups()
        self.service.name += "_copy"
        config = self.service.sidecar.config.read_text()
        self._configure(set_key(config, section, key, f'"{self.service.name}"'))

    def _append(self, found: re.Match[str]) -> None:
        config = self.service.sidecar.config.read_text()
        others = re.sub(r"^truncate = .*\n", "", config, flags=re.MULTILINE)
        self._configure(f"{others}{found[1]}\n")

    def _park(self, found: re.Match[str]) -> None:
        block = f'table = "{found[2]}"\n'
        config = self.service.sidecar.config.read_text()
        self._configure(config.replace(block, f"{block}{found[1]}\n"))

    def _remove(self, found: re.Match[str]) -> None:
        names = "|".join(map(re.escape, re.findall(r'"([^"]+)"', found[1])))
        line = rf'^"({names})" = .*\n'
        config = self.service.sidecar.config.read_text()
        self._configure(re.sub(line, "", config, count=1, flags=re.MULTILINE))

    def _run_tool(self, found: re.Match[str]) -> None:
        command = [*self.kafka.tool(_TOOLS[found[1]]), *shlex.split(found[2])]
        command += self.credentials
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def _raise(self, found: re.Match[str]) -> None:
        set_topic(self.service.kafka, found[2], found[1], found[3])

    def _run_sql(self, found: re.Match[str]) -> None:
        self.service.sql(found[1])

    def _run_command(self, found: re.Match[str]) -> None:
        """Run a command; `run` is for the next start, and what `setup-sql` prints is SQL to run."""
        command, *options = re.split(r" (?=--)", found[1], maxsplit=1)
        words = shlex.split(" ".join(options))
        if command == "run":
            self.arguments = tuple(words)
            return
        confirmed = ["--yes"] if "--yes" in found.string and "--yes" not in words else []
        done = self.service.sidecar.run(command, *words, *confirmed)
        assert done.returncode == 0, done.stdout + done.stderr
        if command == "setup-sql":
            self.psql(done.stdout)

    def _recover(self, found: re.Match[str]) -> None:
        """Follow the page about lost slots, whose comments say for which errors a line is."""
        if found[1]:
            self._run_command(found)
        slot = f"{self.service.name}_cdc"
        for line in Page("recover-a-lost-slot").take("sql", "pg_create_logical").splitlines():
            statement, _, only_for = line.partition("--")
            if not only_for or self.code in only_for:
                self.service.sql(statement.replace("orders_cdc", slot))
        done = self.service.sidecar.run("position accept-gap", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr

    def psql(self, script: str) -> None:
        """Run a script as the owner of the database does."""
        run_script(self.service, self.postgres, script)


def _events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
