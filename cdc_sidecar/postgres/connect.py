"""Connections to the source: pinned settings, fresh secrets, and errors translated by SQLSTATE."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import conninfo
from psycopg_pool import ConnectionPool, PoolTimeout

from cdc_sidecar.config.model import Postgres
from cdc_sidecar.errors import PostgresRefused, PostgresUnavailable
from cdc_sidecar.postgres.refusal import connect, without_time_out
from cdc_sidecar.postgres.translation import SLOT_LOST_HINT, translate, translated

Connection = psycopg.Connection
"""An ordinary connection, in autocommit mode."""

__all__ = ["SLOT_LOST_HINT", "translate", "translated"]

APPLICATION_NAME: Final = "cdc-sidecar"
"""The name that `pg_stat_activity` and the server's log show, unless the dsn sets another."""
CONNECT_TIMEOUT: Final = 8
"""Seconds. Enough for the handshake with a busy server; a host that does not answer is still
reported before an operator gives up waiting.
"""
_SHORT_TIMEOUT: Final = "2"
"""Seconds, libpq's least. The caller has already waited for the pool."""
_DEFAULTS: Final = {
    "application_name": APPLICATION_NAME,
    "connect_timeout": str(CONNECT_TIMEOUT),
    # milliseconds; a network that loses packets is noticed after 30 s, instead of the 15 minutes of
    # the kernel's retransmissions
    "tcp_user_timeout": "30000",
    # seconds; an idle connection that is broken is noticed within a minute
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
"""Connection parameters of every connection; the dsn may set others."""

PINNED: Final = {
    "datestyle": "ISO",
    "timezone": "UTC",
    "intervalstyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "search_path": "",
    "client_min_messages": "warning",  # one of the warnings reports that rows are skipped
    "jit": "off",  # compiling a query on the catalog takes longer than running it
    "standard_conforming_strings": "on",
    # queries on the catalog take milliseconds: one that takes longer waits for a lock, and the
    # guardian must not wait with it; a stream is no statement
    "statement_timeout": "15s",
    "lock_timeout": "0",
    # if the sidecar stops dead, its locks do not outlive it for long
    "idle_in_transaction_session_timeout": "60s",
    "idle_session_timeout": "0",
}
"""Settings of every connection, whatever the role or the database has.

The text of values, type names and warnings depends on some; the others are time-outs.
"""


def dsn_words(config: Postgres) -> dict[str, str]:
    """Return the parameters of the dsn, such as dbname and user.

    Raises:
        SecretUnavailable: the dsn cannot be read.
        PostgresRefused: the dsn is not a connection string.

    """
    try:
        words = conninfo.conninfo_to_dict(config.dsn.read())
    except psycopg.ProgrammingError as error:
        raise PostgresRefused(
            "postgres.dsn is not a connection string",
            hint='use the form of libpq: "host=db dbname=orders user=cdc_sidecar"',
        ) from error
    return {word: str(value) for word, value in words.items() if value is not None}


def server_of(config: Postgres) -> str:
    """Return host and port of the dsn as it has them: `host=db port=5432`.

    Raises:
        SecretUnavailable, PostgresRefused: as in `dsn_words`.

    """
    words = dsn_words(config)
    known = (f"{word}={words[word]}" for word in ("host", "hostaddr", "port") if word in words)
    return " ".join(known)


def connection_string(config: Postgres, **more: str) -> str:
    """Return the libpq string of a new connection; secrets are read now.

    Raises:
        SecretUnavailable: the password or the dsn cannot be read.
        PostgresRefused: the dsn is not a connection string.

    """
    words = dsn_words(config)
    for word, value in _DEFAULTS.items():
        words.setdefault(word, value)
    if config.password is not None:
        words["password"] = config.password.read()
    pinned = " ".join(f"-c {name}={value}" for name, value in PINNED.items())
    words["options"] = f"{words.get('options') or ''} {pinned}".strip()
    words["client_encoding"] = "UTF8"
    settings: dict[str, Any] = {**words, **more}
    return conninfo.make_conninfo("", **settings)


class Database:
    """The ordinary connections to the source: a pool of at most two, opened on first use.

    The guardian, the reader of catalog facts and the commands use it.
    """

    def __init__(self, config: Postgres) -> None:
        self._pool: ConnectionPool[psycopg.Connection] = ConnectionPool(
            conninfo=lambda: connection_string(config),
            kwargs={"autocommit": True},
            configure=without_time_out,
            check=ConnectionPool.check_connection,
            min_size=0,
            max_size=2,
            open=False,
            num_workers=1,
            reconnect_timeout=0,
            name="source",
        )
        self._config = config

    @contextmanager
    def connection(self, timeout: float = CONNECT_TIMEOUT) -> Iterator[psycopg.Connection]:
        """Yield a connection in autocommit mode, within `timeout` seconds.

        Raises:
            SidecarError: the error of the server or the network, translated.

        """
        with translated(server_of(self._config)):
            self._open()
            try:
                with self._pool.connection(timeout=timeout) as connection:
                    yield connection
            except PoolTimeout as error:
                self._try_alone()
                raise PostgresUnavailable(f"no connection within {timeout:g} s") from error

    def _open(self) -> None:
        """Connect once before the pool is opened: the pool would hide the reason of a failure."""
        if self._pool.closed:
            connect(connection_string(self._config)).close()
            self._pool.open()

    def _try_alone(self) -> None:
        """Connect without the pool, which hides the reason of a failure.

        Raises:
            psycopg.Error: the reason.

        """
        connect(connection_string(self._config, connect_timeout=_SHORT_TIMEOUT)).close()

    def close(self) -> None:
        """Close every connection."""
        self._pool.close(timeout=1)
