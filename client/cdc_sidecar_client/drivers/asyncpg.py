"""asyncpg: connections, and those that a pool has lent."""

from collections.abc import Sequence
from typing import Any, Protocol

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from cdc_sidecar_client.drivers import POSITION
from cdc_sidecar_client.errors import NotInTransaction, TransactionOpen
from cdc_sidecar_client.statements import Statement, Style


class _Connection(Protocol):
    """What is used of asyncpg, which has no types."""

    def is_in_transaction(self) -> bool: ...

    async def execute(self, query: str, *args: object) -> str: ...

    async def fetchval(self, query: str) -> Any: ...  # noqa: ANN401 - of the query's type


def sync_driver(_given: object) -> None:
    """Return None: all connections of asyncpg are awaited."""


def async_driver(given: object) -> "AsyncpgDriver | None":
    """Return the driver of a connection."""
    known = isinstance(given, asyncpg.Connection | PoolConnectionProxy)
    return AsyncpgDriver(given) if known else None


class AsyncpgDriver:
    """Writes on the caller's connection."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - asyncpg has no types
        self._connection: _Connection = connection

    async def write(self, written: Sequence[Statement]) -> None:
        """Run statements in the caller's transaction; see `Driver.write`."""
        if not self._connection.is_in_transaction():
            raise NotInTransaction(
                "the connection is in no transaction; "
                "emit inside `async with connection.transaction():`"
            )
        for statement in written:
            await self._connection.execute(statement.text(Style.DOLLAR), *statement.parameters)

    async def read_position(self) -> str:
        """Return the end of the WAL; see `Driver.read_position`."""
        if self._connection.is_in_transaction():
            raise TransactionOpen(
                "the transaction has not ended; ask for the position after the commit"
            )
        return str(await self._connection.fetchval(POSITION))
