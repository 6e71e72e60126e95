"""Postgres itself is the oracle: it accepts or refuses the service's statements, and so do we."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import product

import psycopg
import pytest

from cdc_sidecar.postgres.catalog import read_published_tables, read_unpublished_tables
from cdc_sidecar.postgres.replica_identity import Member, read_members
from cdc_sidecar.servers.postgres import PostgresServer
from cdc_sidecar.servers.postgres_installation import installed_postgres
from tests.conftest import new_database

_TABLES = {
    "key": "id int PRIMARY KEY, n int NOT NULL, note text",
    "two keys": "id int PRIMARY KEY, n int NOT NULL UNIQUE, note text",
    "late key": "id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, n int NOT NULL, note text",
    "no key": "id int NOT NULL, n int NOT NULL, note text",
    "unique": "id int NOT NULL, n int NOT NULL UNIQUE, note text",
    "nullable": "id int NOT NULL, n int UNIQUE, note text",
    "generated": "id int PRIMARY KEY, n int NOT NULL, note int GENERATED ALWAYS AS (id) STORED",
    "generated key": (
        "id int NOT NULL, n int NOT NULL, note int NOT NULL GENERATED ALWAYS AS (id) STORED UNIQUE"
    ),
    "virtual": "id int PRIMARY KEY, n int NOT NULL, note int GENERATED ALWAYS AS (id) VIRTUAL",
    "generated only": "id int NOT NULL, n int, note int GENERATED ALWAYS AS (id) STORED",
}
_IDENTITIES = (
    "DEFAULT",
    "NOTHING",
    "FULL",
    'USING INDEX "t x_n_key"',
    'USING INDEX "t x_note_key"',
)
_ENTRIES = (
    'FOR TABLE "t x"',
    "FOR TABLE \"t x\" WITH (publish = 'insert, delete')",
    "FOR TABLE \"t x\" WITH (publish = 'insert')",
    'FOR TABLE "t x" (id)',
    'FOR TABLE "t x" (n)',
    'FOR TABLE "t x" (id, n, note)',
    'FOR TABLE "t x" WHERE (id > 0)',
    'FOR TABLE "t x" (id) WHERE (n > 0)',
    "FOR TABLES IN SCHEMA public",
    "FOR ALL TABLES",
)
_CHANGES = {"UPDATE": 'UPDATE "t x" SET n = 2', "DELETE": 'DELETE FROM "t x"'}


@contextmanager
def _connected(server: PostgresServer) -> Iterator[psycopg.Connection]:
    with new_database(server) as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def _run(connection: psycopg.Connection, *statements: str) -> str | None:
    """Run statements; return the SQLSTATE of the first one that fails."""
    try:
        for statement in statements:
            connection.execute(statement.encode())
    except psycopg.Error as error:
        return error.sqlstate
    return None


def _made(connection: psycopg.Connection, columns: str, identity: str, entry: str) -> bool:
    """Make a table and its publication; return whether Postgres allows this combination."""
    return not _run(
        connection,
        'DROP TABLE IF EXISTS "t x"',
        'DROP PUBLICATION IF EXISTS "p q"',
        f'CREATE TABLE "t x" ({columns})',
        f'ALTER TABLE "t x" REPLICA IDENTITY {identity}',
        f'CREATE PUBLICATION "p q" {entry}',
    )


def _judge(connection: psycopg.Connection) -> tuple[Member, dict[str, str | None]]:
    """Return our member, and the SQLSTATE with which Postgres refuses each change."""
    (member,) = read_members(connection, "p q")
    return member, {change: _run(connection, sql) for change, sql in _CHANGES.items()}


def _assert_agreed(member: Member, server: dict[str, str | None]) -> None:
    refused = {change: state for change, state in server.items() if change in member.changes}
    assert bool(member.refusal) == any(refused.values()), (member, server)
    if member.refusal:
        assert all(str(state) in member.refusal for state in refused.values()), (member, server)


def _assert_cured(connection: psycopg.Connection, member: Member) -> None:
    assert _run(connection, *member.cure.split("; ")) is None, member.cure
    (cured,) = read_members(connection, "p q")
    assert cured.refusal is None, (member.cure, cured)
    assert not any(_run(connection, sql) for sql in _CHANGES.values()), (member.cure, cured)


def _try_all(connection: psycopg.Connection, tables: Iterable[str]) -> dict[str, int]:
    seen = {"accepted": 0, "refused": 0}
    for columns, identity, entry in product(tables, _IDENTITIES, _ENTRIES):
        if not _made(connection, columns, identity, entry):
            continue
        member, server = _judge(connection)
        _assert_agreed(member, server)
        seen["refused" if member.refusal else "accepted"] += 1
        if member.refusal:
            _assert_cured(connection, member)
    return seen


def test_we_refuse_what_the_server_refuses_and_the_cure_works(postgres: PostgresServer) -> None:
    with _connected(postgres) as connection:
        seen = _try_all(connection, _TABLES.values())
    assert min(seen.values()) > 50


_NEWEST, _OLD = 18, 15


@contextmanager
def _server(version: int) -> Iterator[psycopg.Connection]:
    folder = installed_postgres().get(version) if version != _NEWEST else None
    if version != _NEWEST and folder is None:
        pytest.skip(f"no Debian package postgresql-{version} here")
    with (
        PostgresServer(bin_folder=folder, settings={"jit": "off"}, fsync=False) as server,
        _connected(server) as connection,
    ):
        yield connection


@pytest.mark.parametrize("version", [_NEWEST, _OLD])
def test_a_table_is_judged_before_it_is_published_as_it_is_afterwards(version: int) -> None:
    names = ["public.t x"]
    with _server(version) as connection:
        for columns, identity in product(_TABLES.values(), _IDENTITIES):
            if not _made(connection, columns, identity, 'FOR TABLE "t x"'):
                continue
            member, table = read_members(connection, "p q"), _tables(connection, None)
            _run(connection, 'DROP PUBLICATION "p q"')
            would_be = read_members(connection, "p q", names)
            assert [each.refusal for each in would_be] == [each.refusal for each in member]
            assert _tables(connection, names) == table
            assert not any("PUBLICATION" in each.cure for each in would_be)


def _tables(connection: psycopg.Connection, names: list[str] | None) -> list[object]:
    """Return what is known of published tables, or of tables that are not published."""
    if names is None:
        tables = read_published_tables(connection, "p q")
    else:
        tables = read_unpublished_tables(connection, "p q", names)
    return [(table.relation, table.facts, table.dimensions) for table in tables]


def test_an_older_server_is_judged_by_its_own_rules() -> None:
    folder = installed_postgres().get(15)
    if folder is None:
        pytest.skip("no Debian package postgresql-15 here")
    tables = [_TABLES[name] for name in ("no key", "unique", "generated", "generated key")]
    with (
        PostgresServer(bin_folder=folder, settings={"jit": "off"}, fsync=False) as server,
        _connected(server) as connection,
    ):
        assert min(_try_all(connection, tables).values()) > 10
