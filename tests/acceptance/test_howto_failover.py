"""The how-to for a failover of Postgres works as it is written, on a primary and its standby."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.howto import Operator, Page
from tests.waiting import await_true


@pytest.fixture
def primary() -> Iterator[PostgresServer]:
    """Yield a server with a database `orders` and the role that its standby uses."""
    with PostgresServer(fsync=False) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE orders")
            connection.execute("CREATE ROLE replicator LOGIN REPLICATION")
        yield server


@pytest.fixture
def operator(primary: PostgresServer, kafka: KafkaBroker, tmp_path: Path) -> Iterator[Operator]:
    """Yield an operator who has followed the README, but lets nobody else create the slot."""
    made = Operator(tmp_path, primary.dsn("orders"), kafka.bootstrap_servers, primary)
    made.environment["CDC_SIDECAR__POSTGRES__CREATE_SLOT"] = "false"
    made.prepare()
    made.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    yield made
    made.close()


def _standby(primary: PostgresServer, configuration: str) -> PostgresServer:
    """Return a standby, not yet started, whose `postgresql.conf` ends with the page's lines."""
    standby = PostgresServer(fsync=False).follow(primary, "backup")
    path = standby.data_folder / "postgresql.auto.conf"
    with path.open("a", encoding="utf-8") as file:
        file.write(configuration.replace("host=primary", f"host=127.0.0.1 port={primary.port}"))
    return standby


def test_a_promoted_standby_is_followed_as_the_page_says(
    primary: PostgresServer, operator: Operator
) -> None:
    page = Page("survive-a-failover")
    operator.sql(page.take("sql", "pg_create_physical_replication_slot"))
    change = page.take("bash", "ALTER_REPLICATION_SLOT")
    operator.sh(change.replace("host=primary", f"host=127.0.0.1 port={primary.port}"))
    with _standby(primary, page.take("", "sync_replication_slots")) as standby:
        hosts = f"host=127.0.0.1,127.0.0.1 port={primary.port},{standby.port}"
        block = page.take("", "[postgres]").replace("host=db1,db2", hosts)
        dsn = tomllib.loads(block)["postgres"]["dsn"]
        operator.environment["CDC_SIDECAR__POSTGRES__DSN"] = f'"{dsn}"'
        operator.sidecar.start_and_stream("--bootstrap")
        operator.sql("INSERT INTO orders VALUES (1)")
        assert operator.rows("orders", 1) == [("c", 1)]
        _await_copy(operator, standby, page.take("sql", "synced, temporary"))
        setting = page.take("", "synchronized_standby_slots")
        operator.sql(f"ALTER SYSTEM SET {setting.strip()}")
        operator.sql("SELECT pg_reload_conf()")
        operator.sql("INSERT INTO orders VALUES (2)")
        assert operator.rows("orders", 2) == [("c", 1), ("c", 2)]
        primary.kill()
        operator.dsn = operator.environment["OWNER"] = standby.dsn("orders")
        operator.sql("SELECT pg_promote()")
        operator.sql("INSERT INTO orders VALUES (3)")
        assert operator.rows("orders", 3) == [("c", 1), ("c", 2), ("c", 3)]
        assert operator.sidecar.events("timeline_changed")
        operator.stop()
    page.assert_taken()


def _await_copy(operator: Operator, standby: PostgresServer, query: str) -> None:
    """Wait until the page's query on the standby shows a copy of the slot that would survive."""

    def survives() -> bool:
        operator.sql("SELECT pg_log_standby_snapshot()")
        with psycopg.connect(standby.dsn(), autocommit=True) as connection:
            rows = connection.execute(query.encode()).fetchall()
        return ("orders_cdc", True, False) in rows

    await_true(survives, deadline=60, what="the copy of the slot is permanent")
