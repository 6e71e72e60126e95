"""psycopg 3: connections and cursors, sync and async."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import tuple_row

from cdc_sidecar_client.drivers import POSITION
from cdc_sidecar_client.errors import NotInTransaction, TransactionOpen
from cdc_sidecar_client.statements import Statement, Style

Connection = psycopg.Connection[Any]
AsyncConnection = psycopg.AsyncConnection[Any]


def sync_driver(given: object) -> "PsycopgDriver | None":
    """Return the driver of a connection, or of the connection of a cursor."""
    connection = given.connection if isinstance(given, psycopg.Cursor) else given
    return PsycopgDriver(connection) if isinstance(connection, psycopg.Connection) else None


def async_driver(given: object) -> "AsyncPsycopgDriver | None":
    """Return the driver of an async connection, or of the connection of a cursor."""
    connection = given.connection if isinstance(given, psycopg.AsyncCursor) else given
    if isinstance(connection, psycopg.AsyncConnection):
        return AsyncPsycopgDriver(connection)
    return None


def _check_transaction(connection: Connection | AsyncConnection) -> None:
    """Refuse a connection on which each statement is committed alone.

    Without autocommit, psycopg begins a transaction before the first statement.
    """
    if connection.autocommit and _is_idle(connection):
        raise NotInTransaction(
            "the connection is in autocommit mode and in no transaction; "
            "emit inside `with connection.transaction():`"
        )


def _is_unsure(connection: Connection | AsyncConnection) -> bool:
    """Return whether only a sync of the pipeline tells if there is a transaction."""
    return connection.autocommit and connection.pgconn.pipeline_status is not PipelineStatus.OFF


def _check_ended(connection: Connection | AsyncConnection) -> None:
    if not _is_idle(connection):
        raise TransactionOpen(
            "the transaction has not ended; ask for the position after the commit"
        )


def _is_idle(connection: Connection | AsyncConnection) -> bool:
    return connection.info.transaction_status is TransactionStatus.IDLE


class PsycopgDriver:
    """Writes with a cursor of its own, so that the caller's keep their results."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def write(self, written: Sequence[Statement]) -> None:
        """Run statements in the caller's transaction; see `Driver.write`."""
        if _is_unsure(self._connection):
            with self._connection.pipeline() as pipeline:
                pipeline.sync()
        _check_transaction(self._connection)
        with psycopg.Cursor(self._connection) as cursor:
            for statement in written:
                cursor.execute(statement.text(Style.FORMAT).encode(), statement.parameters)

    def read_position(self) -> str:
        """Return the end of the WAL; see `Driver.read_position`."""
        _check_ended(self._connection)
        with psycopg.Cursor(self._connection, row_factory=tuple_row) as cursor:
            row = cursor.execute(POSITION).fetchone()
        if not self._connection.autocommit:
            self._connection.rollback()
        assert row  # noqa: S101 - a SELECT without FROM has a row
        return str(row[0])


class AsyncPsycopgDriver:
    """The same for an async connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def write(self, written: Sequence[Statement]) -> None:
        """Run statements in the caller's transaction; see `Driver.write`."""
        if _is_unsure(self._connection):
            async with self._connection.pipeline() as pipeline:
                await pipeline.sync()
        _check_transaction(self._connection)
        async with psycopg.AsyncCursor(self._connection) as cursor:
            for statement in written:
                await cursor.execute(statement.text(Style.FORMAT).encode(), statement.parameters)

    async def read_position(self) -> str:
        """Return the end of the WAL; see `Driver.read_position`."""
        _check_ended(self._connection)
        async with psycopg.AsyncCursor(self._connection, row_factory=tuple_row) as cursor:
            await cursor.execute(POSITION)
            row = await cursor.fetchone()
        if not self._connection.autocommit:
            await self._connection.rollback()
        assert row  # noqa: S101 - a SELECT without FROM has a row
        return str(row[0])
