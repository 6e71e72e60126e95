"""The servers that all tests share, started for the first test that needs them."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import psycopg
import pytest
from psycopg import sql

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.waiting import await_true

_LONGEST: Final = (
    *("test_howtos", "test_exactly_once", "test_moves", "test_kafka_faults"),
    *("test_snapshot_commands", "test_refused_clients", "test_sessions", "test_huge_transaction"),
    *("test_snapshot", "test_status", "test_hints_brokers", "test_interfaces"),
    *("test_snapshot_stalled", "test_snapshot_tables", "test_leftovers", "test_check"),
    *("test_unreported_gaps", "test_failover", "test_snapshot_gaps", "test_ways_through"),
    *("test_demo", "test_outage", "test_wheel", "test_cluster", "test_mistakes"),
)
"""The acceptance tests that take longest, by file and in that order."""
SLOTS = {"max_replication_slots": 50, "max_wal_senders": 50}  # for all tests of a process


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that none of them ends a run of several processes alone."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    name = item.path.stem if item.path.parent.name == "acceptance" else ""
    return _LONGEST.index(name) if name in _LONGEST else len(_LONGEST)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One Postgres for all tests. A test that stops or kills Postgres starts its own server."""
    with PostgresServer(settings=SLOTS, fsync=False) as server:
        yield server


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaBroker]:
    """One Kafka for all tests. A test that stops or kills Kafka starts its own broker."""
    with KafkaBroker() as broker:
        yield broker


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """Yield the connection string of a new database, which is dropped after the test."""
    with new_database(postgres) as dsn:
        yield dsn


@contextmanager
def new_database(postgres: PostgresServer) -> Iterator[str]:
    """Make a database; drop it with its slots and its sessions at the end of the block."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield postgres.dsn(name)
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        await_true(lambda: drop_slots(admin, name), what=f"the slots of {name} dropped")
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def drop_slots(admin: psycopg.Connection, database: str) -> bool:
    """End the sessions of `database`, drop its idle slots; return whether none is left."""
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database]
    )
    with suppress(psycopg.errors.ObjectInUse):
        admin.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE database = %s AND NOT active",
            [database],
        )
    left = admin.execute("SELECT FROM pg_replication_slots WHERE database = %s", [database])
    return left.fetchone() is None
