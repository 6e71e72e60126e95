"""The programs that are compared: their common interface, the sidecar and `pg_recvlogical`."""

import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from benchmarks.source import PUBLICATION, SourceDatabase
from benchmarks.workloads import Outbox, OutboxMessages, Workload
from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.servers.host import free_port, package_home
from cdc_sidecar.servers.process import Program, ServerProcess

_STOP_SECONDS: Final = 60.0  # the sidecar ends its transaction first, which takes seconds
_LOG_END: Final = 2000  # characters of the log in an error
_CONFIG: Final = """
[service]
name = "{run}"

[postgres]
dsn = "{dsn}"
slot = "{run}"
publication = "{publication}"

[kafka]
bootstrap_servers = "{kafka}"

[topics]
create = true
partitions = 1
replication_factor = 1

[snapshot]
mode = "{snapshot}"

[http]
listen = "127.0.0.1:{port}"
"""
_TABLES: Final = """
[[tables]]
name = "public.*"
columns = ["*"]
"""
_OUTBOX: Final = """
[[outboxes]]
{origin}
topic = "{run}.event.{{aggregatetype}}"
"""
_EVENT_SCHEMA: Final = """
{"type": "record", "name": "OrderPlaced", "namespace": "com.example", "fields": [
    {"name": "order", "type": "long"},
    {"name": "customer", "type": "string"},
    {"name": "total", "type": "double"},
    {"name": "placed", "type": "string"},
    {"name": "note", "type": "string"},
    {"name": "lines", "type": {"type": "array", "items": {
        "type": "record", "name": "Line", "fields": [
            {"name": "sku", "type": "string"}, {"name": "quantity", "type": "int"}]}}}]}
"""
_SCHEMA: Final = """
payload = "avro"
[outboxes.events.OrderPlaced]
schema = "{run}.avsc"
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One drain. `name` is the name of its slot and the first part of its topics' names."""

    name: str
    source: SourceDatabase


class Contender(Protocol):
    """A program that reads a slot. `publishes` is true if it writes events to Kafka."""

    name: str
    guarantee: str
    format: str
    publishes: bool

    @property
    def pid(self) -> int:
        """The process id of the program that reads the slot."""

    @property
    def registry(self) -> str:
        """The address of its schema registry, which has Confluent's API."""

    @property
    def log_end(self) -> str:
        """The end of its log."""

    def start(self, run: Run) -> None:
        """Start reading the slot; return without waiting for it."""

    def is_alive(self) -> bool:
        """Return whether it runs and has not failed."""

    def stop(self) -> None:
        """Release the slot."""


def not_started(contender: Contender) -> ServerFailed:
    """Return the error of a contender that did not start to read its slot."""
    return failed(contender, "did not start to read its slot")


def failed(contender: Contender, fact: str) -> ServerFailed:
    """Return an error about a contender, with the end of its log."""
    return ServerFailed(
        f"{contender.name} {fact}",
        cause=contender.log_end,
        hint="correct the setting that the log names; a busy machine needs more time",
    )


class _Process:
    """A contender that starts a process for each run."""

    def __init__(self) -> None:
        self._process: ServerProcess | None = None
        self._log = Path()

    @property
    def pid(self) -> int:
        """The process id of the program that reads the slot."""
        return self._started().pid

    @property
    def log_end(self) -> str:
        """The end of its log."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-_LOG_END:]

    def is_alive(self) -> bool:
        """Return whether it runs and has not failed."""
        return self._started().is_alive()

    def stop(self) -> None:
        """Release the slot."""
        process = self._started()
        if process.is_alive():
            process.stop(signal.SIGTERM, _STOP_SECONDS)

    def _launch(self, name: str, command: list[str | Path], log: Path) -> None:
        self._log = log
        self._process = ServerProcess(Program(name, command, package_home(), log))

    def _started(self) -> ServerProcess:
        if self._process is None:
            raise ServerFailed("the contender was not started")
        return self._process


class Sidecar(_Process):
    """The sidecar with its default settings."""

    guarantee = "exactly once, whole transactions"
    format = "Avro"
    publishes = True

    def __init__(self, name: str = "sidecar", environment: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.name = name
        self._environment = dict(environment or {})
        self._port = 0

    @property
    def registry(self) -> str:
        """The address of its schema registry, which has Confluent's API."""
        return f"http://127.0.0.1:{self._port}"

    def start(self, run: Run) -> None:
        """Start reading the slot; return without waiting for it."""
        servers = run.source.servers
        self._port = free_port()
        config = servers.folder / f"{run.name}.toml"
        config.with_suffix(".avsc").write_text(_EVENT_SCHEMA, encoding="utf-8")
        workload = run.source.workload
        messages = isinstance(workload, OutboxMessages)
        config.write_text(
            _capture(workload).format(
                origin='prefix = "outbox"' if messages else 'table = "public.outbox"',
                run=run.name,
                dsn=run.source.dsn,
                publication=PUBLICATION,
                kafka=servers.kafka.bootstrap_servers,
                port=self._port,
                snapshot="initial" if workload.snapshot else "never",
            ),
            encoding="utf-8",
        )
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        command = [sys.executable, "-m", "cdc_sidecar", "run", "--config", str(config)]
        prefix = [shutil.which("env") or "/usr/bin/env", *variables] if variables else []
        log = config.with_suffix(".log")
        self._launch(self.name, [*prefix, *command, "--bootstrap"], log)


def _capture(workload: Workload) -> str:
    """Return the template of the configuration."""
    if not isinstance(workload, Outbox):
        return _CONFIG + _TABLES
    return _CONFIG + _OUTBOX + (_SCHEMA if workload.avro else "")


class PgRecvlogical(_Process):
    """Postgres's own client. It only reads; the data goes to /dev/null."""

    name = "pg_recvlogical"
    guarantee = "none: only reads"
    format = "pgoutput, thrown away"
    publishes = False
    registry = ""

    def start(self, run: Run) -> None:
        """Start reading the slot; return without waiting for it. It ends with the backlog."""
        source = run.source
        program = source.servers.postgres.bin("pg_recvlogical")
        command: list[str | Path] = [
            *(program, "--dbname", source.dsn, "--slot", run.name, "--start", "--no-loop"),
            *("--file", "/dev/null", "--endpos", format_lsn(source.backlog.end)),
            *("--option", "proto_version=1", "--option", f"publication_names={PUBLICATION}"),
        ]
        self._launch(self.name, command, source.servers.folder / f"{run.name}.log")


class PsqlCopy(_Process):
    """`COPY … TO STDOUT` of psql, to /dev/null: the limit of reading a table's rows as text."""

    name = "psql_copy"
    guarantee = "none: only reads"
    format = "COPY text, thrown away"
    publishes = False
    registry = ""

    def start(self, run: Run) -> None:
        """Start reading the only table; return without waiting for it. It ends with the table."""
        source = run.source
        (table,) = source.workload.tables
        psql = source.servers.postgres.bin("psql")
        copy = f"COPY (SELECT * FROM {table}) TO STDOUT"
        command: list[str | Path] = [psql, source.dsn, "--output", "/dev/null", "--command", copy]
        self._launch(self.name, command, source.servers.folder / f"{run.name}.log")
