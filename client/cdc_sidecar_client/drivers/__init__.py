"""Finds the driver of a connection by its class, without importing drivers that are not in use."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, Protocol

from cdc_sidecar_client.errors import ConnectionUnknown
from cdc_sidecar_client.statements import Statement

POSITION: Final = "SELECT CAST(pg_current_wal_insert_lsn() AS text)"
"""The end of the WAL: behind every commit that has returned, also without synchronous_commit."""


class Driver(Protocol):
    """What the outbox asks of a connection."""

    def write(self, written: Sequence[Statement]) -> None:
        """Run statements in the caller's transaction.

        Raises:
            NotInTransaction: the connection is in none.

        """

    def read_position(self) -> str:
        """Return the end of the server's WAL, and leave no transaction open.

        Raises:
            TransactionOpen: the connection is in a transaction.

        """


class AsyncDriver(Protocol):
    """The same for connections whose methods are awaited."""

    async def write(self, written: Sequence[Statement]) -> None:
        """As `Driver.write`."""

    async def read_position(self) -> str:
        """As `Driver.read_position`."""


_MODULES: Final = {
    "psycopg": "psycopg",
    "sqlalchemy": "sqlalchemy",
    "asyncpg": "asyncpg",
    "django": "django",
}
"""The module of this package for each package whose connections it knows."""


def find_driver(connection: object) -> Driver:
    """Return the driver of a connection whose methods are called.

    Raises:
        ConnectionUnknown: no driver knows the object, or its methods are awaited.

    """
    driver: Driver | None = _ask(connection, "sync_driver")
    if driver is None:
        raise _unknown(connection, "async_driver", "await emit_async or position_async instead")
    return driver


def find_async_driver(connection: object) -> AsyncDriver:
    """Return the driver of a connection whose methods are awaited.

    Raises:
        ConnectionUnknown: no driver knows the object, or its methods are not awaited.

    """
    driver: AsyncDriver | None = _ask(connection, "async_driver")
    if driver is None:
        raise _unknown(connection, "sync_driver", "call emit or position instead")
    return driver


def _ask(connection: object, function: str) -> Any:  # noqa: ANN401 - a driver, or None
    for kind in type(connection).__mro__:
        name = _MODULES.get(kind.__module__.partition(".")[0])
        if name:
            module = import_module(f"{__name__}.{name}")
            return getattr(module, function)(connection)
    return None


def _unknown(connection: object, other: str, hint: str) -> ConnectionUnknown:
    kind = type(connection)
    if _ask(connection, other) is None:
        hint = f"known are connections of {', '.join(_MODULES)}"
    return ConnectionUnknown(f"{kind.__module__}.{kind.__qualname__} cannot be used here: {hint}")
