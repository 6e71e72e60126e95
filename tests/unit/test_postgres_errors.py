"""Every SQLSTATE has a party to blame and a hint; so has every text of libpq about a mistake."""

import psycopg
import pytest

from cdc_sidecar.errors import (
    Disposition,
    InternalError,
    PostgresBusy,
    PostgresRefused,
    PostgresUnavailable,
    ServerLimitReached,
    ServerUnsupported,
    SidecarError,
    Unrepresentable,
)
from cdc_sidecar.postgres.connect import translate
from cdc_sidecar.postgres.verdicts import verdict_on

_SQLSTATES = sorted({
    error.sqlstate
    for error in vars(psycopg.errors).values()
    if isinstance(error, type) and issubclass(error, psycopg.Error) and error.sqlstate
})  # fmt: skip
_SERVER = 'connection to server at "10.0.0.1", port 5432 failed: '


@pytest.mark.parametrize("sqlstate", _SQLSTATES)
def test_every_sqlstate_that_psycopg_knows_has_a_verdict_and_a_hint(sqlstate: str) -> None:
    assert verdict_on(sqlstate)
    error = translate(sqlstate, "the fact")
    assert "the fact" in error.fact
    assert error.hint


@pytest.mark.parametrize(
    ("sqlstate", "message", "error", "hint"),
    [
        (
            "57014",
            "canceling statement due to statement timeout",
            PostgresBusy,
            "pg_terminate_backend",
        ),
        ("55P03", "canceling statement due to lock timeout", PostgresBusy, "pg_locks"),
        ("53100", "could not extend file: No space left on device", PostgresBusy, "disk"),
        ("53400", "all replication slots are in use", ServerLimitReached, "max_replication_slots"),
        ("53300", "sorry, too many clients already", PostgresUnavailable, "max_connections"),
        ("22021", 'invalid byte sequence for encoding "UTF8": 0xff', Unrepresentable, "position"),
        ("54000", "out of memory", Unrepresentable, "position reset"),
        (
            "0A000",
            "logical decoding cannot be used while in recovery",
            PostgresUnavailable,
            "start",
        ),
        ("0A000", "streaming is not supported", ServerUnsupported, "pooler"),
        ("42704", 'unrecognized configuration parameter "x"', PostgresRefused, "postgres.dsn"),
    ],
)
def test_the_hint_names_what_helps(
    sqlstate: str, message: str, error: type[SidecarError], hint: str
) -> None:
    translated = translate(sqlstate, message)
    assert type(translated) is error
    assert hint in translated.hint


def test_an_error_that_no_statement_of_ours_should_meet_halts_when_it_comes_again() -> None:
    error = translate("42601", 'syntax error at or near "IDENTIFY_SYSTEM"')
    assert error.disposition is Disposition.RETRY
    assert isinstance(error.final, InternalError)
    assert "42601" in error.final.fact


@pytest.mark.parametrize(
    ("text", "hint", "may_mend"),
    [
        ('FATAL:  password authentication failed for user "x"', "password", True),
        ("fe_sendauth: no password supplied", "password", True),
        ("SSL error: certificate verify failed", "sslrootcert", True),
        ('server certificate for "a" does not match host name "b"', "sslrootcert", True),
        ('root certificate file "/no/ca" does not exist', "sslrootcert", True),
        ('could not read certificate file "/no/crt": No such file', "sslcert", True),
        ('private key file "/k" has group or world access', "chmod 600", True),
        ("SSL error: tlsv13 alert certificate required", "sslcert", True),
        ("server does not support SSL, but SSL was required", "sslmode=disable", False),
        ('FATAL:  no pg_hba.conf entry for host "a", user "b", database "c", no encryption',
         "sslmode=require", False),
        ('FATAL:  no pg_hba.conf entry for host "a", user "b", database "c", SSL encryption',
         "pg_hba.conf", False),
        ('FATAL:  database "x" does not exist', "dbname", False),
        ('FATAL:  role "alerts" is not permitted to log in', "LOGIN", False),
        ("received invalid response to SSL negotiation: H", "no Postgres server", False),
        ("expected authentication request from server, but received H", "no Postgres", False),
        ("FATAL:  unsupported startup parameter: replication", "pooler", False),
        ('FATAL:  unrecognized configuration parameter "work_men"', "options", False),
        ('invalid sslmode value: "maybe"', "postgres.dsn", False),
        ('invalid port number: "99999"', "postgres.dsn", False),
    ],
)  # fmt: skip
def test_a_mistake_in_a_connection_is_refused_with_its_setting(
    text: str, hint: str, *, may_mend: bool
) -> None:
    error = translate(None, f"{_SERVER}{text}")
    assert isinstance(error, PostgresRefused)
    assert hint in error.hint
    assert error.may_mend is may_mend


@pytest.mark.parametrize(
    "text",
    [
        "Connection refused",
        "timeout expired",
        "SSL SYSCALL error: EOF detected",
        "SSL connection has been closed unexpectedly",
        "server closed the connection unexpectedly",
        "FATAL:  the database system is shutting down",
        "FATAL:  sorry, too many clients already",
        'could not translate host name "does not exist" to address: Name or service not known',
        "a text of a later version",
    ],
)
def test_what_may_pass_is_tried_again(text: str) -> None:
    error = translate(None, f"{_SERVER}{text}")
    assert isinstance(error, PostgresUnavailable)
    assert error.hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('FATAL:  role "Odd" is not permitted to log in', 'ALTER ROLE "Odd" LOGIN'),
        ('FATAL:  too many connections for role "cdc"', "ALTER ROLE cdc CONNECTION LIMIT -1"),
        (
            'FATAL:  too many connections for database "shop"',
            "ALTER DATABASE shop CONNECTION LIMIT -1",
        ),
    ],
)
def test_a_hint_about_a_role_or_a_database_names_it(text: str, hint: str) -> None:
    assert hint in translate(None, f"{_SERVER}{text}").hint


def test_a_host_that_is_not_found_is_tried_again_even_if_it_is_called_invalid() -> None:
    text = "failed to resolve host 'db.invalid': Name or service not known (host=db.invalid port=1)"
    error = translate(None, text)
    assert isinstance(error, PostgresUnavailable)
    assert "correct host in postgres.dsn" in error.hint
