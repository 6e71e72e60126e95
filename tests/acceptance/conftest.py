"""Services for tests: a database, its tables, a sidecar and the oracle."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer, Setting
from tests.acceptance.events import Oracle, assert_same_events, read_events
from tests.acceptance.howto import Operator, prepared_operator
from tests.acceptance.sidecar import CONFIG, Sidecar

TABLES = '\n[[tables]]\nname = "public.*"\ncolumns = ["*"]\n'
MARKS = '[messages]\nprefixes = ["mark"]\n'


@dataclass
class Service:
    """One service with its database, its sidecar and its topics."""

    name: str
    dsn: str
    kafka: str
    sidecar: Sidecar

    def sql(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def oracle(self) -> Oracle:
        """Make a second slot. Events are expected from the next commit on."""
        return Oracle(self.dsn, self.name, f"oracle_{secrets.token_hex(4)}")

    def reconfigure(self, old: str, new: str) -> None:
        """Replace a text in the configuration."""
        config = self.sidecar.config
        text = config.read_text()
        assert old in text
        config.write_text(text.replace(old, new))

    def current_lsn(self) -> int:
        """Return the server's WAL position."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            row = connection.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()
        assert row
        return int(row[0])

    def topics(self, *tables: str) -> list[str]:
        """Return the topics of tables of schema public."""
        return [f"{self.name}.public.{table}" for table in tables]

    def await_published(self, deadline: float = 60.0) -> None:
        """Wait until everything that has been committed by now is published."""
        self.sql("SELECT pg_logical_emit_message(true, 'mark', 'x')")
        goal = self.current_lsn()

        def reached() -> bool:
            assert self.sidecar.process.poll() is None, self.sidecar.log_text()
            status = self.sidecar.status()
            if not status or not status["position"]:
                return False
            high, low = status["position"].split("/")
            return int(high, 16) << 32 | int(low, 16) >= goal

        self.sidecar.await_true(reached, deadline=deadline, what="everything published")

    def assert_exactly_once(self, oracle: Oracle, *tables: str) -> int:
        """Check topics against the oracle; return the number of events."""
        expected = oracle.expected()
        assert expected
        assert_same_events(expected, read_events(self.kafka, self.name, self.topics(*tables)))
        return len(expected)


@pytest.fixture
def make_service(
    database: str, kafka: KafkaBroker, tmp_path: Path
) -> Iterator[Callable[..., Service]]:
    """Make services on one database. `more` is appended to the configuration."""
    with service_maker(database, kafka.bootstrap_servers, tmp_path) as make:
        yield make


@pytest.fixture
def fresh_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start every process of the sidecar from its command, not forked from one that is ready."""
    monkeypatch.setattr(Sidecar, "is_fresh", True)


@contextmanager
def service_maker(dsn: str, kafka: str, folder: Path) -> Iterator[Callable[..., Service]]:
    """Yield a function that makes services; end their sidecars after the test."""
    made: list[Service] = []

    def make(more: str = TABLES, name: str | None = None, **replaced: str) -> Service:
        service = name or f"s{secrets.token_hex(4)}"
        port = free_port()
        text = CONFIG.format(
            service=service, dsn=dsn, slot=f"{service}_cdc", kafka=kafka, port=port
        )
        for old, new in replaced.items():
            text = text.replace(old, new)
        path = folder / f"{service}-{port}.toml"
        path.write_text(text + more)
        made.append(Service(service, dsn, kafka, Sidecar(path, port)))
        return made[-1]

    try:
        yield make
    finally:
        for service in made:
            service.sidecar.close()


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    """Yield a service with one published table `items`. Its sidecar is not started yet."""
    made = make_service(TABLES + MARKS)
    made.sql(
        "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    return made


@pytest.fixture
def untuned() -> Iterator[PostgresServer]:
    """Yield a server as it is installed, whose only slot is in use."""
    settings: dict[str, Setting] = {"wal_level": "replica", "max_replication_slots": 1}
    with PostgresServer(settings=settings, fsync=False) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("SELECT pg_create_physical_replication_slot('other')")
        yield server


@pytest.fixture
def operator(
    database: str, postgres: PostgresServer, kafka: KafkaBroker, tmp_path: Path
) -> Iterator[Operator]:
    """Yield an operator who has followed the README; no sidecar runs yet."""
    with prepared_operator(tmp_path, database, kafka.bootstrap_servers, postgres) as made:
        yield made


Services = Callable[..., Service]


@pytest.fixture
def services(tmp_path: Path, kafka: KafkaBroker) -> Iterator[Services]:
    """Make services on the servers of a single test."""
    yield from services_in(tmp_path, kafka)


def services_in(folder: Path, kafka: KafkaBroker) -> Iterator[Services]:
    """Yield a function that makes services on any server, each name in its own database.

    `words` replace words of the connection string that the sidecar uses.
    """
    made: list[Service] = []

    def make(
        postgres: PostgresServer, name: str, more: str = TABLES + MARKS, **words: str | int
    ) -> Service:
        port = free_port()
        dsn = postgres.dsn(str(words.get("dbname", name)))
        _create_database(postgres, dsn)
        text = CONFIG.format(
            service=name,
            dsn=make_conninfo(dsn, **words),
            slot=f"{name}_cdc",
            kafka=kafka.bootstrap_servers,
            port=port,
        )
        path = folder / f"{name}-{port}.toml"
        path.write_text(text + more)
        made.append(Service(name, dsn, kafka.bootstrap_servers, Sidecar(path, port)))
        return made[-1]

    yield make
    for service in made:
        service.sidecar.close()


def _create_database(postgres: PostgresServer, dsn: str) -> None:
    name = conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        known = admin.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if known is None:
            admin.execute(f'CREATE DATABASE "{name}"'.encode())
