"""The sentinel: an idle connection on which the server sends something only to end it.

A server that shuts down ends ordinary connections at once. It ends a walsender only after the
walsender has sent everything and the receiver has confirmed it, which never happens while Kafka is
not available.
"""

import select

import psycopg

from cdc_sidecar.config.model import Postgres
from cdc_sidecar.postgres.connect import connection_string, server_of, translated
from cdc_sidecar.postgres.refusal import connect


class Sentinel:
    """One ordinary connection that sends no queries; used by one thread at a time."""

    def __init__(self, config: Postgres) -> None:
        """Connect.

        Raises:
            SidecarError: the error of the server or the network, translated.

        """
        self._config = config
        with translated(server_of(config)):
            self._connection = self._connect()

    def _connect(self) -> psycopg.Connection:
        return connect(connection_string(self._config))

    def spoke(self) -> bool:
        """Return whether the server has ended the connection."""
        waiting = select.poll()
        waiting.register(self._connection.fileno(), select.POLLIN)
        return bool(waiting.poll(0))

    def renew(self) -> bool:
        """Connect again; return False if the server refuses, because it is shutting down."""
        self._connection.close()
        try:
            self._connection = self._connect()
        except psycopg.Error:
            return False
        return True

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
