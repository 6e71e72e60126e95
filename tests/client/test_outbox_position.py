"""A position is above the LSN of what was committed before, and leaves no transaction open."""

import asyncio
from collections.abc import Callable
from typing import Any

import django.db
import django.db.transaction
import psycopg
import pytest
from cdc_sidecar_client import Position, TransactionOpen, position, position_async
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from tests.client.callers import (
    async_engine,
    asyncpg_connection,
    django_alias,
    engine,
)

_WRITE = "INSERT INTO t VALUES (1)"


@pytest.fixture
def prepared(database: str) -> str:
    """Return a database with a table."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (n int)")
        connection.execute("SELECT pg_create_logical_replication_slot('p', 'test_decoding')")
    return database


def _psycopg(dsn: str) -> Position:
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        connection.execute(_WRITE)
        with pytest.raises(TransactionOpen):
            position(connection)
        connection.commit()
        found: Position = position(connection.cursor())
        assert connection.info.transaction_status is TransactionStatus.IDLE
    return found


def _async_psycopg(dsn: str) -> Position:
    async def ask() -> Position:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            async with connection.transaction():
                await connection.execute(_WRITE)
                with pytest.raises(TransactionOpen):
                    await position_async(connection)
            return await position_async(connection)

    return asyncio.run(ask())


def _sqlalchemy(dsn: str) -> Position:
    with engine(dsn) as made, Session(made) as session:
        session.execute(text(_WRITE))
        with pytest.raises(TransactionOpen):
            position(session)
        session.commit()
        found: Position = position(session)
        assert not session.in_transaction()
    return found


def _sqlalchemy_connection(dsn: str) -> Position:
    with engine(dsn) as made, made.connect() as connection:
        with Session(connection) as session, session.begin():
            session.execute(text(_WRITE))
            with pytest.raises(TransactionOpen):
                position(connection)
        found: Position = position(connection)
        assert not connection.in_transaction()
        with Session(connection) as session:
            assert position(session) >= found
    return found


def _async_sqlalchemy(dsn: str) -> Position:
    async def ask() -> Position:
        async with async_engine(dsn, "asyncpg") as made, made.connect() as connection:
            await connection.execute(text(_WRITE))
            with pytest.raises(TransactionOpen):
                await position_async(connection)
            await connection.commit()
            return await position_async(connection)

    return asyncio.run(ask())


def _async_sqlalchemy_session(dsn: str) -> Position:
    async def ask() -> Position:
        async with async_engine(dsn, "psycopg") as made, AsyncSession(made) as session:
            await session.execute(text(_WRITE))
            with pytest.raises(TransactionOpen):
                await position_async(session)
            await session.commit()
            return await position_async(session)

    return asyncio.run(ask())


def _django(dsn: str) -> Position:
    with django_alias(dsn) as alias:
        connection: Any = django.db.connections[alias]
        with django.db.transaction.atomic(using=alias):
            connection.cursor().execute(_WRITE)
            with pytest.raises(TransactionOpen):
                position(connection)
        return position(connection)


def _django_without_autocommit(dsn: str) -> Position:
    with django_alias(dsn) as alias:
        connection: Any = django.db.connections[alias]
        connection.set_autocommit(False)
        connection.cursor().execute(_WRITE)
        with pytest.raises(TransactionOpen):
            position(connection)
        connection.commit()
        found: Position = position(connection)
        status = connection.connection.info.transaction_status
        assert status is TransactionStatus.IDLE
    return found


def _asyncpg(dsn: str) -> Position:
    async def ask() -> Position:
        async with asyncpg_connection(dsn) as connection:
            async with connection.transaction():
                await connection.execute(_WRITE)
                with pytest.raises(TransactionOpen):
                    await position_async(connection)
            return await position_async(connection)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "ask",
    [
        _psycopg,
        _async_psycopg,
        _sqlalchemy,
        _sqlalchemy_connection,
        _async_sqlalchemy,
        _async_sqlalchemy_session,
        _django,
        _django_without_autocommit,
        _asyncpg,
    ],
)
def test_a_position_is_above_what_was_committed_and_refused_before(
    prepared: str, ask: Callable[[str], Position]
) -> None:
    with psycopg.connect(prepared, autocommit=True) as connection:
        before = position(connection)
        found = ask(prepared)
        commits = connection.execute(
            "SELECT lsn::text FROM pg_logical_slot_get_changes('p', NULL, NULL,"
            " 'skip-empty-xacts', '1') WHERE data LIKE 'COMMIT%%'",
            (),
        ).fetchall()
    assert [before < Position.parse(lsn) <= found for (lsn,) in commits] == [True]


def test_a_position_is_a_text_that_services_pass_on() -> None:
    assert str(Position.parse("0/16B3748")) == "0/16B3748"
    assert str(Position.parse("1f/0000000a")) == "1F/A"
    assert Position.parse("0/9") < Position.parse("0/10") < Position.parse("1/0")
    for wrong in ("", "16B3748", "0/123456789", "0/16B3748 ", "-1/0"):
        with pytest.raises(ValueError, match="not a position"):
            Position.parse(wrong)
