"""Django: `django.db.connection`, or one of `django.db.connections`."""

from collections.abc import Sequence
from typing import Any

from cdc_sidecar_client.drivers import POSITION
from cdc_sidecar_client.errors import ConnectionUnknown, NotInTransaction, TransactionOpen
from cdc_sidecar_client.statements import Statement, Style

_IDLE = 0
"""`PQTRANS_IDLE` of libpq, in psycopg2 and in psycopg 3."""


def sync_driver(given: Any) -> "DjangoDriver | None":  # noqa: ANN401 - Django has no types
    """Return the driver of a connection."""
    if not hasattr(given, "in_atomic_block"):
        return None
    if given.vendor != "postgresql":
        raise ConnectionUnknown(f"the connection {given.alias} of Django leads to {given.vendor}")
    return DjangoDriver(given)


def async_driver(_given: object) -> None:
    """Return None: Django's transactions are not async."""


class DjangoDriver:
    """Writes with a cursor of its own."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - as above
        self._connection = connection

    def write(self, written: Sequence[Statement]) -> None:
        """Run statements in the caller's transaction; see `Driver.write`."""
        if self._connection.get_autocommit():
            raise NotInTransaction(
                "the connection is in autocommit mode; emit inside `with transaction.atomic():`"
            )
        with self._connection.cursor() as cursor:
            for statement in written:
                cursor.execute(statement.text(Style.FORMAT), statement.parameters)

    def read_position(self) -> str:
        """Return the end of the WAL; see `Driver.read_position`."""
        self._connection.ensure_connection()
        status = self._connection.connection.info.transaction_status
        if self._connection.in_atomic_block or status != _IDLE:
            raise TransactionOpen(
                "the transaction has not ended; ask for the position after the commit"
            )
        with self._connection.cursor() as cursor:
            cursor.execute(POSITION)
            (position,) = cursor.fetchone()
        if not self._connection.get_autocommit():
            self._connection.rollback()
        return str(position)
