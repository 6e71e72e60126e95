"""Real servers, and what is none, refuse connections with the party and the setting named."""

import contextlib
import socket
import struct
import threading

import pytest
from psycopg.conninfo import make_conninfo

from cdc_sidecar.config.model import Postgres
from cdc_sidecar.config.secret import Secret
from cdc_sidecar.errors import PostgresBusy, PostgresRefused, PostgresUnavailable
from cdc_sidecar.postgres.connect import Database, translated
from cdc_sidecar.postgres.refusal import sqlstate_of_refusal
from cdc_sidecar.servers.postgres import PostgresServer


def _database(dsn: str, **words: str) -> Database:
    secret = Secret("literal", make_conninfo(dsn, **words))
    return Database(Postgres(dsn=secret, slot="s", publication="p"))


def _refusal(database: Database) -> PostgresRefused:
    with pytest.raises(PostgresRefused) as refused, database.connection():
        pass
    return refused.value


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ({"sslmode": "require"}, "sslmode=disable"),
        ({"sslmode": "maybe"}, "postgres.dsn"),
        ({"options": "-c work_men=1"}, "options"),
        ({"dbname": "nowhere"}, "dbname"),
        ({"user": "nobody"}, "user"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_word_of_the_dsn_is_named(
    postgres: PostgresServer, words: dict[str, str], hint: str
) -> None:
    plain = {"host": "127.0.0.1", "port": str(postgres.port)}  # a socket has no TLS
    assert hint in _refusal(_database(postgres.dsn(), **{**plain, **words})).hint


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ({"dbname": "nowhere"}, "3D000"),
        ({"user": "nobody"}, "28000"),
        ({"options": "-c work_men=1"}, "42704"),
        ({}, None),
    ],
    ids=str,
)
def test_the_sqlstate_of_a_refused_connection_is_found(
    postgres: PostgresServer, words: dict[str, str], state: str | None
) -> None:
    assert sqlstate_of_refusal(make_conninfo(postgres.dsn(), connect_timeout=10, **words)) == state


@pytest.mark.parametrize(
    ("severity", "state", "message", "may_mend"),
    [
        ("FATAL", "28P01", "Passwort-Authentifizierung für Benutzer »a« fehlgeschlagen", True),
        ("ВАЖНО", "3D000", 'база данных "nix" не существует', False),
        ("FATAL", "42704", '設定パラメータ"nix"は不明です', False),
    ],
)
def test_a_refusal_in_another_language_is_no_outage(
    severity: str, state: str, message: str, *, may_mend: bool
) -> None:
    """Each text is what PostgreSQL 15 sends with `lc_messages` of that language."""
    fields = {"S": severity, "V": "FATAL", "C": state, "M": message, "R": "auth_failed"}
    body = "".join(f"{field}{text}\0" for field, text in fields.items()).encode() + b"\0"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        error = b"E" + struct.pack("!i", len(body) + 4) + body
        threading.Thread(target=_refuse, args=(listener, error), daemon=True).start()
        port = listener.getsockname()[1]
        refusal = _refusal(_database(f"host=127.0.0.1 port={port} dbname=x user=y sslmode=disable"))
    assert message in refusal.fact
    assert refusal.may_mend is may_mend


def _refuse(listener: socket.socket, error: bytes) -> None:
    """Answer the startup packet of every connection with an error."""
    with contextlib.suppress(OSError):  # the test has closed the listener
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(error)


def test_a_server_that_is_no_postgres_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_answer, args=(listener,), daemon=True).start()
        port = listener.getsockname()[1]
        dsn = f"host=127.0.0.1 port={port} dbname=x user=y sslmode=require"
        refusal = _refusal(_database(dsn))
    assert "no Postgres server" in refusal.hint
    assert str(port) in refusal.fact


def _answer(listener: socket.socket) -> None:
    """Answer as a server of HTTP does."""
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(1000)


def test_a_server_that_does_not_answer_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        database = _database(f"host=127.0.0.1 port={port} dbname=x user=y connect_timeout=2")
        with pytest.raises(PostgresUnavailable, match=f"port={port}"), database.connection():
            pass


def test_a_statement_that_takes_too_long_does_not_make_postgres_unavailable(
    postgres: PostgresServer,
) -> None:
    database = _database(postgres.dsn())
    try:
        with database.connection() as connection, pytest.raises(PostgresBusy), translated():
            connection.execute("SET statement_timeout = 1; SELECT pg_sleep(10)")
    finally:
        database.close()
