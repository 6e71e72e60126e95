"""Connections to the source: pinned settings, fresh secrets, and errors told apart by SQLSTATE."""

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
CONNECT_TIMEOUT: Final = 10  # seconds
STATEMENT_TIMEOUT: Final = 15  # seconds, of ordinary connections

_DEFAULTS: Final = {
    "application_name": APPLICATION_NAME,
    "connect_timeout": str(CONNECT_TIMEOUT),
    # a network that swallows packets is noticed in half a minute, not in the kernel's quarter hour
    "tcp_user_timeout": "30000",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}

PINNED: Final = {
    "datestyle": "ISO",
    "timezone": "UTC",
    "intervalstyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "search_path": "",
    "client_min_messages": "warning",  # one of them says that rows are skipped
}
"""Settings on which the text of values, type names and warnings depend; on every connection."""

_REFUSALS = (
    "password authentication failed",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied",
    "must be superuser or replication role",
    "is not permitted to log in",
    "no password supplied",
)


def dsn_words(config: Postgres) -> dict[str, str]:
    """Return the words of the dsn, such as dbname and user.

    Raises:
        SecretUnavailable: it cannot be read.
        PostgresRefused: it is no connection string.

    """
    try:
        words = conninfo.conninfo_to_dict(config.dsn.read())
    except psycopg.ProgrammingError as error:
        raise PostgresRefused(
            "postgres.dsn is no connection string",
            hint='write it as libpq does: "host=db dbname=orders user=cdc_sidecar"',
        ) from error
    return {word: str(value) for word, value in words.items() if value is not None}


def connection_string(config: Postgres, **more: str) -> str:
    """Return the libpq string of a new connection; secrets are read now.

    Raises:
        SecretUnavailable: the password or the dsn cannot be read.
        PostgresRefused: the dsn is no connection string.

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
    """The ordinary connections to the source: a pool of at most two, made when first asked for.

    Used by the guardian, by the reader of catalog facts, and by the commands that look.
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
        """Lend a connection in autocommit mode, within `timeout` seconds.

        Raises:
            SidecarError: what the server or the wire said, translated.

        """
        with translated():
            self._open()
            try:
                with self._pool.connection(timeout=timeout) as connection:
                    yield connection
            except PoolTimeout as error:
                raise PostgresUnavailable("no connection in time") from error

    def _open(self) -> None:
        """Prove on the first use that a connection can be made: the pool would hide why not."""
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
    """Translate psycopg's errors into ours, where they enter."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error.sqlstate, str(error)) from error


def translate(  # noqa: PLR0911 - a table of cases
    sqlstate: str | None, message: str
) -> SidecarError:
    """Return our error for a SQLSTATE (PostgreSQL documentation, appendix A) and its message.

    A failed connection has no SQLSTATE; what the server said is in the message.
    """
    fact = " ".join(message.split())
    match sqlstate:
        case None:
            return _translate_connection(fact)
        case "55006":
            return SlotBusy(fact, cause="another reader of the slot", hint="stop the other reader")
        case "42704":
            return _translate_undefined(fact)
        case "55000" | "58P01":
            return _translate_state(fact)
        case "42501":
            return PermissionMissing(fact, hint="run `cdc-sidecar setup-sql` and give its grants")
        case "28P01" | "28000" | "3D000":
            return PostgresRefused(fact, hint="correct postgres.dsn or the password")
        case _:
            return PostgresUnavailable(fact)


def _translate_connection(fact: str) -> SidecarError:
    if "FATAL" in fact and any(refusal in fact for refusal in _REFUSALS):
        return PostgresRefused(
            fact, hint="correct postgres.dsn, the password, pg_hba.conf or the role's rights"
        )
    return PostgresUnavailable(fact)


def _translate_undefined(fact: str) -> SidecarError:
    if "publication" in fact:
        return PublicationMissing(
            fact,
            cause="it was dropped, or created after the slot",
            hint="create the publication, then the slot: `cdc-sidecar setup-sql` prints both",
        )
    if "replication slot" in fact:
        return SlotMissing(fact, hint="see `cdc-sidecar check`")
    return PostgresUnavailable(fact)


def _translate_state(fact: str) -> SidecarError:
    if "wal_level" in fact:
        return WalLevelTooLow(fact, hint="ALTER SYSTEM SET wal_level = logical; and restart")
    if "skipped loading publication" in fact:
        return _translate_undefined(fact)
    if "was not created in this database" in fact:
        return SlotUnfit(fact, hint="correct postgres.dsn or postgres.slot")
    if "can no longer" in fact or "has already been removed" in fact or "invalidated" in fact:
        return SlotLost(
            fact,
            cause="max_slot_wal_keep_size or idle_replication_slot_timeout was exceeded",
            hint="the changes in between are gone: see docs/how-to/recover-a-lost-slot.md",
        )
    return PostgresUnavailable(fact)
