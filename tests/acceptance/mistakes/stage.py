"""The servers on which mistakes are made, and one sound service for each mistake."""

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

import psycopg
from confluent_kafka.admin import AdminClient
from psycopg.conninfo import make_conninfo

from cdc_sidecar.commands.check import check
from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.mistakes.case import Do, Mistake, Sql, Toml, Undo
from tests.acceptance.secured import Secured

_CONFIG = """
[service]
name = "$s"

[postgres]
dsn = "$dsn"
slot = "$s"
publication = "$s"
create_slot = true

[kafka]
bootstrap_servers = "$kafka"

[topics]
create = true
partitions = 1
replication_factor = 1

[publish]
transaction_timeout = "30s"

[http]
listen = "127.0.0.1:$http"

[[tables]]
name = "$s.items"
columns = ["*"]
"""
_SOUND = (
    "CREATE SCHEMA $s",
    "CREATE TABLE $s.items (id int PRIMARY KEY, n int, label text)",
    "CREATE PUBLICATION $s FOR TABLE $s.items",
)
_LIMITED = (
    "CREATE ROLE $s LOGIN REPLICATION IN ROLE trusted",
    "GRANT USAGE ON SCHEMA $s TO $s",
    "GRANT SELECT ON ALL TABLES IN SCHEMA $s TO $s",
)
_RULES = """
host all +barred 127.0.0.1/32 reject
host all +asked 127.0.0.1/32 scram-sha-256
host all wanted 127.0.0.1/32 trust
host all +trusted 127.0.0.1/32 trust
host all postgres 127.0.0.1/32 trust
host replication postgres 127.0.0.1/32 trust
"""


@dataclass
class Servers:
    """One Postgres, one Kafka, and the ports of listeners that never answer."""

    postgres: PostgresServer
    kafka: Secured
    standby: PostgresServer
    silent: int  # a port that accepts connections and says nothing
    folder: Path
    admin: AdminClient  # which may do everything
    rules: threading.Lock = field(default_factory=threading.Lock)

    def set_up(self) -> None:
        """Let members of `trusted` in, and ask members of `asked` for a password."""
        roles = "CREATE ROLE trusted; CREATE ROLE asked; CREATE ROLE barred"
        self.rules_path.write_text(_RULES)
        with psycopg.connect(self.postgres.dsn(), autocommit=True) as connection:
            connection.execute(f"{roles}; SELECT pg_reload_conf()")

    @property
    def rules_path(self) -> Path:
        """The path of pg_hba.conf."""
        return self.postgres.data_folder / "pg_hba.conf"


@dataclass(frozen=True)
class Outcome:
    """What `check` said of a mistake, how long it took, and what it said when it was mended."""

    status: int
    report: dict[str, Any]
    seconds: float
    mended: dict[str, Any] | None  # None if no mend was tried, because the hint did not name it
    missing: str = ""  # what the hint did not say

    @property
    def faults(self) -> list[dict[str, Any]]:
        """The faults of the mistake."""
        return faults_in(self.report)

    @property
    def text(self) -> str:
        """The facts, causes and hints of all faults."""
        return text_of(self.faults)


def faults_in(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the faults of a report of `check --json`."""
    return [check for check in report["checks"] if check["severity"] == "error"]


def text_of(faults: list[dict[str, Any]]) -> str:
    """Return facts, causes and hints."""
    return "\n".join(fault[key] or "" for fault in faults for key in ("fact", "cause", "hint"))


class Stage:
    """A service with one mistake."""

    def __init__(self, servers: Servers, mistake: Mistake, name: str) -> None:
        self.servers = servers
        self.mistake = mistake
        self.name = name
        self.held: list[Any] = []  # what must stay open until the mistake is mended
        user = name if mistake.limited else "postgres"
        self.http = free_port()
        self.words = {
            "s": name,
            "dsn": make_conninfo(servers.postgres.dsn(), user=user),
            "pg": servers.postgres.port,
            "standby": servers.standby.port,
            "kafka": servers.kafka.servers("plaintext"),
            **{protocol: servers.kafka.servers(protocol) for protocol in ("sasl", "tls", "both")},
            "silent": servers.silent,
            "folder": servers.folder,
            "certificates": servers.kafka.folder,
            "http": self.http,
        }
        self.path = servers.folder / f"{name}.toml"

    def fill(self, text: str) -> str:
        """Return a template with the names of this service."""
        return Template(text).safe_substitute(self.words)

    def sql(self, *statements: str) -> None:
        """Run statements as superuser."""
        with psycopg.connect(self.servers.postgres.dsn(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(self.fill(statement).encode())

    @property
    def admin(self) -> AdminClient:
        """The client that may do everything."""
        return self.servers.admin

    @property
    def kafka(self) -> str:
        """The servers on which every client may do everything."""
        return self.servers.kafka.broker.bootstrap_servers

    def play(self) -> Outcome:
        """Make the mistake, check, mend, and check again."""
        self._prepare()
        begun = time.monotonic()
        status, report = self.check()
        seconds = time.monotonic() - begun
        after = report
        for mend in self.mistake.mends:
            missing = self._mend(mend, text_of(faults_in(after)))
            if missing:
                return Outcome(status, report, seconds, None, missing)
            after = self.check()[1]
        return Outcome(status, report, seconds, after)

    def check(self) -> tuple[int, dict[str, Any]]:
        """Run `check --json` in this process; return its exit status and its report."""
        lines: list[str] = []
        status = check(self.path, as_json=True, write=lines.append)
        return status, json.loads("\n".join(lines))

    def _prepare(self) -> None:
        mistake = self.mistake
        self.sql(*_SOUND, *(_LIMITED if mistake.limited else ()), *mistake.sql)
        config = _CONFIG
        for old, new in mistake.toml:
            assert old in config, old
            config = config.replace(old, new)
        self.path.write_text(self.fill(config + mistake.more))
        if mistake.act:
            mistake.act(self)

    def _mend(self, mend: Sql | Toml | Undo | Do, text: str) -> str:
        """Do what the error says; return what it does not say."""
        said = self.fill(_said(mend))
        if said not in text:
            return said
        match mend:
            case Sql(statement):
                self.sql(statement)
            case Undo():
                self.path.write_text(self.fill(_CONFIG))
            case Toml(old, new):
                config = self.path.read_text()
                assert self.fill(old) in config, (old, config)
                self.path.write_text(config.replace(self.fill(old), self.fill(new)))
            case Do(act=act):
                act(self)
        return ""


def _said(mend: Sql | Toml | Undo | Do) -> str:
    match mend:
        case Sql(statement):
            return statement
        case Toml(new=new, said=said):
            return said or new
        case Undo(said) | Do(said):
            return said
