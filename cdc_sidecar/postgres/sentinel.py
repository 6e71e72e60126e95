"""The sentinel: an idle connection on which the server speaks only to end it.

A server that shuts down ends ordinary connections at once, but waits for a walsender until it has
sent everything and had it confirmed. While Kafka is away or slow that would be for ever.
"""

import select

import psycopg

from cdc_sidecar.config.model import Postgres
from cdc_sidecar.postgres.connect import connection_string, translated


class Sentinel:
    """One ordinary connection that asks nothing; used by one thread at a time."""

    def __init__(self, config: Postgres) -> None:
        """Connect.

        Raises:
            SidecarError: what the server or the wire said, translated.

        """
        self._config = config
        with translated():
            self._connection = self._connect()

    def _connect(self) -> psycopg.Connection:
        connection = psycopg.connect(connection_string(self._config), autocommit=True)
        connection.execute("SET idle_session_timeout = 0")
        return connection

    def spoke(self) -> bool:
        """Tell whether the server wants to end the connection."""
        waiting = select.poll()
        waiting.register(self._connection.fileno(), select.POLLIN)
        return bool(waiting.poll(0))

    def renew(self) -> bool:
        """Connect again; False where the server lets nobody in: it is shutting down."""
        self._connection.close()
        try:
            self._connection = self._connect()
        except psycopg.Error:
            return False
        return True

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
