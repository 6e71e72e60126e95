"""SQLAlchemy: sessions and connections, sync and async, over any driver for Postgres."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from cdc_sidecar_client.drivers import POSITION
from cdc_sidecar_client.errors import ConnectionUnknown, NotInTransaction, TransactionOpen
from cdc_sidecar_client.statements import Statement, Style

_STYLES = {
    "format": Style.FORMAT,
    "pyformat": Style.FORMAT,
    "numeric_dollar": Style.DOLLAR,
}


def sync_driver(given: object) -> "SqlAlchemyDriver | None":
    """Return the driver of a session or a connection."""
    if isinstance(given, scoped_session):
        given = given()
    return SqlAlchemyDriver(given) if isinstance(given, Session | Connection) else None


def async_driver(given: object) -> "AsyncSqlAlchemyDriver | None":
    """Return the driver of an async session or connection."""
    if isinstance(given, async_scoped_session):
        given = given()
    if isinstance(given, AsyncSession | AsyncConnection):
        return AsyncSqlAlchemyDriver(given)
    return None


class SqlAlchemyDriver:
    """Writes on the connection of the caller's transaction, past SQLAlchemy's compiler."""

    def __init__(self, given: Session | Connection) -> None:
        self._given = given

    def write(self, written: Sequence[Statement]) -> None:
        """Run statements in the caller's transaction; see `Driver.write`."""
        connection = self._connection()
        style = _STYLES.get(connection.dialect.paramstyle)
        if connection.dialect.name != "postgresql" or style is None:
            raise ConnectionUnknown(f"the dialect {connection.dialect.name} is not for Postgres")
        if _is_autocommit(connection):
            raise NotInTransaction(
                "the connection has the isolation level AUTOCOMMIT; emit with an engine whose "
                "sessions are in a transaction"
            )
        for statement in written:
            connection.exec_driver_sql(statement.text(style), statement.parameters)

    def _connection(self) -> Connection:
        if isinstance(self._given, Connection):
            return self._given
        if not (self._given.autobegin or self._given.in_transaction()):
            raise NotInTransaction(
                "the session is in no transaction and begins none by itself; "
                "emit inside `with session.begin():`"
            )
        return self._given.connection()

    def read_position(self) -> str:
        """Return the end of the WAL; see `Driver.read_position`.

        A session asks on another connection of its engine, so that its objects do not expire.
        """
        if self._given.in_transaction():
            raise TransactionOpen(
                "the transaction has not ended; ask for the position after the commit"
            )
        bind = self._given.get_bind() if isinstance(self._given, Session) else self._given
        if isinstance(bind, Engine):
            with bind.connect() as connection:
                return _read(connection)
        return _read_and_end(bind)


def _is_autocommit(connection: Connection) -> bool:
    raw: Any = connection.connection.dbapi_connection
    return bool(raw.autocommit)


def _read(connection: Connection) -> str:
    return str(connection.exec_driver_sql(POSITION).scalar_one())


def _read_and_end(connection: Connection) -> str:
    """Ask on a connection that is in no transaction, and end the one that this begins."""
    if connection.in_transaction():
        raise TransactionOpen(
            "the transaction of the session's connection has not ended; "
            "ask for the position after the commit"
        )
    try:
        return _read(connection)
    finally:
        connection.rollback()


class AsyncSqlAlchemyDriver:
    """Calls the sync driver in the greenlet that SQLAlchemy provides."""

    def __init__(self, given: AsyncSession | AsyncConnection) -> None:
        self._given = given

    async def write(self, written: Sequence[Statement]) -> None:
        """Run statements in the caller's transaction; see `Driver.write`."""
        await self._given.run_sync(lambda sync: SqlAlchemyDriver(sync).write(written))

    async def read_position(self) -> str:
        """Return the end of the WAL; see `Driver.read_position`."""
        return await self._given.run_sync(lambda sync: SqlAlchemyDriver(sync).read_position())
