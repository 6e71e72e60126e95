"""The SQL of the runbooks runs as it stands there, on a real server."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cdc_sidecar.servers.postgres import PostgresServer

_RUNBOOKS = sorted((Path(__file__).parents[2] / "docs" / "runbooks").glob("CdcSidecar*.md"))
_BLOCK = re.compile(r"^ *```sql\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_WORLD = (
    "CREATE TABLE audit (id int PRIMARY KEY)",
    "CREATE TABLE outbox (id bigint PRIMARY KEY, type text)",
    "CREATE PUBLICATION orders_cdc FOR TABLE audit",
    "CREATE ROLE cdc_sidecar",
    "SELECT pg_create_logical_replication_slot('orders_cdc', 'pgoutput')",
)
_ANSWERS = ("SELECT", "SHOW")


@pytest.fixture(scope="module")
def orders() -> Iterator[psycopg.Connection]:
    """Yield a connection to the database of the service that the runbooks are about."""
    with (
        PostgresServer(fsync=False) as server,
        psycopg.connect(server.dsn(), autocommit=True) as connection,
    ):
        for statement in _WORLD:
            connection.execute(statement.encode())
        yield connection


@pytest.mark.parametrize("page", _RUNBOOKS, ids=lambda page: page.stem)
def test_every_statement_of_a_runbook_runs(page: Path, orders: psycopg.Connection) -> None:
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        for statement in filter(str.strip, block.split(";")):
            cursor = orders.execute(statement.encode())
            assert (cursor.description is not None) == statement.strip().startswith(_ANSWERS)
