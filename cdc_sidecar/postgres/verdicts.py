"""The verdict on each error of Postgres: by SQLSTATE, or by libpq's text while there is none.

PostgreSQL documentation, appendix A. A failed connection has no SQLSTATE: psycopg passes on libpq's
text, which contains the server's. libpq's own texts are English; the server's may be in another
language, and then `refusal` asks for the SQLSTATE. A test walks psycopg's list of SQLSTATEs.
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final


class Verdict(Enum):
    """What an error means for the sidecar."""

    AWAY = "the server cannot be reached or is starting, stopping or a standby: try again"
    BUSY = "the server is there but could not do this now: try again"
    FULL = "every place for a connection is taken: try again"
    SLOT_BUSY = "another connection reads the slot"
    STATE = "the message says which object is in the wrong state"
    UNDEFINED = "the message says which object does not exist"
    LIMIT = "a limit is reached that only an operator raises"
    PERMISSION = "a privilege is missing"
    CREDENTIALS = "client and server do not accept each other"
    REFUSED = "the server refuses the connection or its parameters"
    UNSUPPORTED = "the server lacks a function"
    VALUE = "the server cannot send a row"
    FOREIGN = "no statement of the sidecar can raise it"


_GROUPS: Final[Mapping[Verdict, str]] = {
    Verdict.AWAY: "08 25006 57P01 57P02 57P03 57P04 57P05",
    Verdict.BUSY: "25P03 25P04 40 53000 53100 53200 55P03 57000 57014 58 72 XX",
    Verdict.FULL: "53300",
    Verdict.SLOT_BUSY: "55006",
    Verdict.STATE: "55000 58P01",
    Verdict.UNDEFINED: "42704",
    Verdict.LIMIT: "53400",
    Verdict.PERMISSION: "42501",
    Verdict.CREDENTIALS: "28P01",
    Verdict.REFUSED: "08P01 28 3D000 0P000 55P02 22023 P0 38 39 F0",
    Verdict.UNSUPPORTED: "0A",
    Verdict.VALUE: "22021 22P05 54000",
    Verdict.FOREIGN: """
        02 03 09 0B 0F 0L 0Z 10 20 21 22 23 24 25 26 27 2B 2D 2F 34 3B 3F 42 44 54 55 HV
        """,
}
"""SQLSTATEs, and classes of them in two characters; a whole SQLSTATE goes before its class."""

_VERDICTS: Final[Mapping[str, Verdict]] = {
    state: verdict for verdict, states in _GROUPS.items() for state in states.split()
}


def verdict_on(sqlstate: str) -> Verdict | None:
    """Return the verdict on a SQLSTATE; None if neither it nor its class is known."""
    return _VERDICTS.get(sqlstate) or _VERDICTS.get(sqlstate[:2])


_DSN: Final = "correct postgres.dsn"
_PASSWORD: Final = "correct postgres.password, or the password in postgres.dsn"  # noqa: S105 - a hint
_CERTIFICATE: Final = (
    "correct sslcert and sslkey in postgres.dsn; the key may be readable only for the sidecar's"
    " user (chmod 600)"
)
_AUTHORITY: Final = (
    "set sslrootcert in postgres.dsn to the certificate of the authority that signed the"
    " server's, and with sslmode=verify-full name the host as that certificate does"
)
_NOT_POSTGRES: Final = (
    "correct host and port in postgres.dsn: what answers there is no Postgres server"
)
_NO_TLS: Final = (
    "set ssl = on on the server, or set sslmode=disable in postgres.dsn if the network may read"
    " your data"
)
_HBA: Final = (
    "add a line for this host, user and database to pg_hba.conf, then run SELECT pg_reload_conf()"
)
_HBA_PLAIN: Final = (
    "set sslmode=require in postgres.dsn if pg_hba.conf has only hostssl lines; otherwise add a"
    " line for this host, user and database, then run SELECT pg_reload_conf()"
)
_HBA_REJECTS: Final = (
    "remove the line that rejects this host, user and database from pg_hba.conf, then run SELECT"
    " pg_reload_conf()"
)
_POOLER: Final = "name the Postgres server itself in postgres.dsn: a pooler cannot replicate"

_TEXTS: Final[tuple[tuple[str, Verdict, str], ...]] = (
    # the network, before all others: a broken connection may be one in a TLS handshake
    ("SSL SYSCALL error", Verdict.AWAY, ""),
    ("SSL connection has been closed unexpectedly", Verdict.AWAY, ""),
    ("could not translate host name|failed to resolve host", Verdict.AWAY,
     "correct host in postgres.dsn, or the name server"),
    ("too many connections for role", Verdict.FULL,
     "end other connections of the role, or run ALTER ROLE … CONNECTION LIMIT -1"),
    ("too many connections for database", Verdict.FULL,
     "end other connections, or run ALTER DATABASE … CONNECTION LIMIT -1"),
    ("too many clients|remaining connection slots|too many connections|max_wal_senders",
     Verdict.FULL, ""),
    ("password authentication failed|no password supplied|empty password returned",
     Verdict.CREDENTIALS, _PASSWORD),
    ("SCRAM|authentication method requirement|channel binding|(?:GSSAPI|LDAP|RADIUS|PAM) auth",
     Verdict.CREDENTIALS, _PASSWORD),
    ("certificate authentication failed|connection requires a valid client certificate",
     Verdict.CREDENTIALS, _CERTIFICATE),
    ("could not (?:load|read|open) (?:private key|certificate) file|private key file",
     Verdict.CREDENTIALS, _CERTIFICATE),
    ("certificate present, but not private key", Verdict.CREDENTIALS, _CERTIFICATE),
    ("root certificate|certificate verify failed|does not match host name|revocation list",
     Verdict.CREDENTIALS, _AUTHORITY),
    ("server does not support SSL", Verdict.REFUSED, _NO_TLS),
    ("no pg_hba.conf entry .* no encryption", Verdict.REFUSED, _HBA_PLAIN),
    ("no pg_hba.conf entry", Verdict.REFUSED, _HBA),
    ("pg_hba.conf rejects", Verdict.REFUSED, _HBA_REJECTS),
    ("must be superuser or replication role|permission denied to start WAL sender",
     Verdict.REFUSED, "run ALTER ROLE … REPLICATION, as `cdc-sidecar setup-sql` prints it"),
    ("is not permitted to log in", Verdict.REFUSED, "run ALTER ROLE … LOGIN"),
    ("unsupported startup parameter|pgbouncer|no such database", Verdict.REFUSED, _POOLER),
    ("unrecognized configuration parameter|invalid command-line argument", Verdict.REFUSED,
     "correct options in postgres.dsn"),
    ("does not exist|permission denied for database", Verdict.REFUSED,
     "correct dbname and user in postgres.dsn, or create the database or the role"),
    ("received invalid response to|expected authentication request|unsupported frontend protocol",
     Verdict.REFUSED, _NOT_POSTGRES),
    ("server sent an error response during SSL|protocol version", Verdict.REFUSED, _NOT_POSTGRES),
    ("SSL error:|tlsv1 alert|sslv3 alert", Verdict.CREDENTIALS, _CERTIFICATE),
    (r'\binvalid (?:\S+ ){0,3}(?:port|value)|invalid connection option|missing ""|could not parse',
     Verdict.REFUSED, _DSN),
)  # fmt: skip
"""Parts of libpq's texts, in the order in which they are looked for."""


_NAMES: Final = re.compile(r'"[^"]*"')
"""Names in libpq's texts: a host or database may be called like a part of another text."""


def is_known(text: str) -> bool:
    """Return whether a failed connection can be judged by its text."""
    return _by_text(text) is not None


def verdict_on_connection(text: str) -> tuple[Verdict, str]:
    """Return the verdict on a failed connection, and the hint; what is not known is retried."""
    return _by_text(text) or (Verdict.AWAY, "")


def _by_text(text: str) -> tuple[Verdict, str] | None:
    nameless = _NAMES.sub('""', text)
    known = ((verdict, hint) for part, verdict, hint in _TEXTS if re.search(part, nameless))
    return next(known, None)
