"""Connections to the source: pinned settings, fresh secrets, and errors translated by SQLSTATE."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import conninfo
from psycopg_pool import ConnectionPool, PoolTimeout

from cdc_sidecar.config.model import Postgres
from cdc_sidecar.errors import (
    PermissionMissing,
    PostgresRefused,
    PostgresUnavailable,
    PublicationMissing,
    SidecarError,
    SlotBusy,
    SlotLost,
    SlotMissing,
    SlotUnfit,
    WalLevelTooLow,
)

Connection = psycopg.Connection
"""An ordinary connection, in autocommit mode."""

APPLICATION_NAME: Final = "cdc-sidecar"
"""The name that `pg_stat_activity` and the server's log show, unless the dsn sets another."""
CONNECT_TIMEOUT: Final = 10
"""Seconds. Enough for the handshake with a busy server; a host that does not answer is still
reported before an operator gives up waiting.
"""
STATEMENT_TIMEOUT: Final = 15
"""Seconds, on ordinary connections. The catalog queries take milliseconds: one that takes longer
waits for a lock, and the guardian must not wait with it.
"""
SLOT_LOST_HINT: Final = (
    "the changes since the position are lost: see docs/how-to/recover-a-lost-slot.md"
)

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
}
"""Settings of every connection: the text of values, type names and warnings depends on them."""

_REFUSALS = (
    "password authentication failed",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied",
    "must be superuser or replication role",
    "is not permitted to log in",
    "no password supplied",
)
"""Parts of the messages with which the server refuses a connection for good. A failed connection
has no SQLSTATE; a message that is translated into another language is retried.
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
            configure=_configure,
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
        with translated():
            self._open()
            try:
                with self._pool.connection(timeout=timeout) as connection:
                    yield connection
            except PoolTimeout as error:
                raise PostgresUnavailable(f"no connection within {timeout:g} s") from error

    def _open(self) -> None:
        """Connect once before the pool is opened: the pool would hide the reason of a failure."""
        if self._pool.closed:
            psycopg.connect(connection_string(self._config)).close()
            self._pool.open()

    def close(self) -> None:
        """Close every connection."""
        self._pool.close(timeout=1)


def _configure(connection: psycopg.Connection) -> None:
    connection.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}s'")


@contextmanager
def translated() -> Iterator[None]:
    """Translate psycopg's errors into ours."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error.sqlstate, str(error)) from error


def translate(  # noqa: PLR0911 - one return for each case of a table
    sqlstate: str | None, message: str
) -> SidecarError:
    """Return our error for a SQLSTATE (PostgreSQL documentation, appendix A) and its message.

    A failed connection has no SQLSTATE; its message contains the server's text.
    """
    fact = " ".join(message.split())
    match sqlstate:
        case None:
            return _translate_connection(fact)
        case "55006":
            return SlotBusy(
                fact, cause="another connection reads the slot", hint="stop the other reader"
            )
        case "42704":
            return _translate_undefined(fact)
        case "55000" | "58P01":
            return _translate_state(fact)
        case "42501":
            return PermissionMissing(
                fact, hint="run the grants that `cdc-sidecar setup-sql` prints"
            )
        case "28P01" | "28000" | "3D000":
            return PostgresRefused(fact, hint="correct postgres.dsn or the password")
        case _:
            return PostgresUnavailable(fact)


def _translate_connection(fact: str) -> SidecarError:
    if "FATAL" in fact and any(refusal in fact for refusal in _REFUSALS):
        return PostgresRefused(
            fact, hint="correct postgres.dsn, the password, pg_hba.conf or the role's privileges"
        )
    return PostgresUnavailable(fact)


def _translate_undefined(fact: str) -> SidecarError:
    if "publication" in fact:
        return PublicationMissing(
            fact,
            cause="the publication was dropped, or created after the slot",
            hint="create the publication, then the slot: `cdc-sidecar setup-sql` prints both",
        )
    if "replication slot" in fact:
        return SlotMissing(fact, hint="run `cdc-sidecar check`")
    return PostgresUnavailable(fact)


def _translate_state(fact: str) -> SidecarError:
    if "wal_level" in fact:
        return WalLevelTooLow(
            fact, hint="run ALTER SYSTEM SET wal_level = logical, then restart the server"
        )
    if "skipped loading publication" in fact:
        return _translate_undefined(fact)
    if "was not created in this database" in fact:
        return SlotUnfit(fact, hint="correct postgres.dsn or postgres.slot")
    if "can no longer" in fact or "has already been removed" in fact or "invalidated" in fact:
        return SlotLost(
            fact,
            cause="max_slot_wal_keep_size or idle_replication_slot_timeout was exceeded",
            hint=SLOT_LOST_HINT,
        )
    return PostgresUnavailable(fact)
