"""The translation of psycopg's errors into ours: every error of Postgres enters here."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import psycopg

from cdc_sidecar.errors import (
    InternalError,
    PermissionMissing,
    PostgresBusy,
    PostgresRefused,
    PostgresUnavailable,
    PublicationMissing,
    ServerLimitReached,
    ServerUnsupported,
    SidecarError,
    SlotBusy,
    SlotLost,
    SlotMissing,
    SlotUnfit,
    Unrepresentable,
    WalLevelTooLow,
)
from cdc_sidecar.postgres.sql_names import quoted
from cdc_sidecar.postgres.verdicts import Verdict, verdict_on, verdict_on_connection

SLOT_LOST_HINT: Final = (
    "the changes since the position are lost: see docs/how-to/recover-a-lost-slot.md"
)
_FULL_HINT: Final = (
    "end other connections, or raise max_connections (max_wal_senders for replication) and restart"
    " the server; a running sidecar retries by itself"
)
_HOLDERS: Final = (
    "SELECT pid, relation::regclass FROM pg_locks"
    " WHERE granted AND mode = 'AccessExclusiveLock' AND relation < 16384"
)
_BUSY_HINTS: Final[Mapping[str, str]] = {
    "57014": f"if a lock is waited for, end the session that holds it: {_HOLDERS} shows those that"
    " lock a table of the catalog, and pg_terminate_backend(pid) ends one (connect to another"
    " database for it, because new connections to this one may wait too); otherwise look in"
    " pg_stat_activity for what keeps the server busy",
    "55P03": "find the session that holds the lock with SELECT pid, relation::regclass, mode FROM"
    " pg_locks WHERE granted, and end it with pg_terminate_backend(pid)",
    "53100": "free space on the server's disk",
    "53200": "give the server more memory, or fewer connections",
}
_NAMED: Final = re.compile(r'(?:role|database) "([^"]*)"')
"""The role or the database in libpq's texts about one."""
_READER: Final = re.compile(r"active for PID (\d+)")
_BUSY_HINT: Final = "look at the server's log; a running sidecar retries by itself"


@contextmanager
def translated(server: str = "") -> Iterator[None]:
    """Translate psycopg's errors into ours; `server` is named where the library does not name it.

    libpq names the server of a failed connection; psycopg's own time-out does not.
    """
    try:
        yield
    except psycopg.Error as error:
        message = str(error)
        unnamed = server and error.sqlstate is None and "connection to server" not in message
        fact = f"{message} ({server})" if unnamed else message
        raise translate(error.sqlstate, fact, error.diag.source_function) from error


def translate(sqlstate: str | None, message: str, routine: str | None = None) -> SidecarError:
    """Return our error for a SQLSTATE and its message; a failed connection may have no SQLSTATE.

    `routine` is the function of the server that raised it. Where one SQLSTATE has several meanings,
    it tells them apart in every language of the server (`lc_messages`).
    """
    fact = " ".join(message.split())
    if sqlstate is None:
        return _translate_connection(fact)
    verdict = verdict_on(sqlstate)
    if verdict is Verdict.BUSY:
        return PostgresBusy(fact, hint=_BUSY_HINTS.get(sqlstate, _BUSY_HINT))
    if verdict is None or verdict is Verdict.FOREIGN:
        return _foreign(sqlstate, fact)
    return _ROUTINES.get((sqlstate, routine), _TRANSLATIONS[verdict])(fact)


def _translate_connection(fact: str) -> SidecarError:
    verdict, hint = verdict_on_connection(fact)
    if named := _NAMED.search(fact):
        hint = hint.replace("…", quoted(named[1]))
    if verdict is Verdict.FULL:
        return PostgresUnavailable(fact, hint=hint or _FULL_HINT)
    if verdict is Verdict.AWAY:
        return PostgresUnavailable(fact, hint=hint)
    refused = PostgresRefused(fact, hint=hint)
    refused.may_mend = verdict is Verdict.CREDENTIALS
    return refused


def _away(fact: str) -> SidecarError:
    return PostgresUnavailable(fact)


def _full(fact: str) -> SidecarError:
    return PostgresUnavailable(fact, hint=_FULL_HINT)


def _slot_busy(fact: str) -> SidecarError:
    reader = _READER.search(fact)
    ends = f": SELECT pg_terminate_backend({reader[1]}) ends its connection" if reader else ""
    return SlotBusy(
        fact, cause="another connection reads the slot", hint=f"stop the other reader{ends}"
    )


def _limit(fact: str) -> SidecarError:
    return ServerLimitReached(
        fact,
        hint="drop a slot that nobody uses (SELECT slot_name FROM pg_replication_slots WHERE NOT"
        " active), or raise max_replication_slots and restart the server",
    )


def _permission(fact: str) -> SidecarError:
    return PermissionMissing(fact, hint="run the grants that `cdc-sidecar setup-sql --diff` prints")


def _credentials(fact: str) -> SidecarError:
    refused = PostgresRefused(fact, hint="correct postgres.password, or postgres.dsn")
    refused.may_mend = True
    return refused


def _refused(fact: str) -> SidecarError:
    return PostgresRefused(
        fact, hint="correct postgres.dsn, or what the message names on the server"
    )


def _unsupported(fact: str) -> SidecarError:
    if "recovery" in fact or "standby" in fact:
        return _away(fact)
    return ServerUnsupported(
        fact, hint="use PostgreSQL itself, 14 or newer, without a pooler before it"
    )


def _value(fact: str) -> SidecarError:
    return Unrepresentable(
        fact,
        cause="the server cannot send a row: a byte of a text is no character of the database's"
        " encoding, or the row has more than 1 GB",
        hint="no setting of the sidecar passes this row. Correct it in the table, then continue"
        " behind it with `cdc-sidecar position reset`, which skips every change before the LSN that"
        " you name",
    )


def _foreign(sqlstate: str, fact: str) -> SidecarError:
    """Return the error that no statement of ours should meet; it halts if it comes twice."""
    busy = PostgresBusy(f"{fact} (SQLSTATE {sqlstate})", hint=_BUSY_HINT)
    busy.final = InternalError(busy.fact)
    return busy


def _publication_missing(fact: str) -> SidecarError:
    return PublicationMissing(
        fact,
        cause="the publication was dropped, or created after the slot",
        hint="create the publication if it does not exist: run what `cdc-sidecar setup-sql"
        " --diff` prints; the changes before it are lost, then the slot must be created anew:"
        " see docs/how-to/recover-a-lost-slot.md",
    )


def _slot_missing(fact: str) -> SidecarError:
    return SlotMissing(fact, hint="see docs/how-to/recover-a-lost-slot.md")


def _undefined(fact: str) -> SidecarError:
    if "publication" in fact:
        return _publication_missing(fact)
    if "replication slot" in fact:
        return _slot_missing(fact)
    return _refused(fact)


def _slot_lost(fact: str) -> SidecarError:
    return SlotLost(
        fact,
        cause="max_slot_wal_keep_size or idle_replication_slot_timeout was exceeded",
        hint=SLOT_LOST_HINT,
    )


def _state(fact: str) -> SidecarError:
    if "wal_level" in fact:
        return WalLevelTooLow(
            fact, hint="run ALTER SYSTEM SET wal_level = logical, then restart the server"
        )
    if "skipped loading publication" in fact:
        return _publication_missing(fact)
    if "was not created in this database" in fact:
        return SlotUnfit(fact, hint="correct postgres.dsn or postgres.slot")
    if "can no longer" in fact or "has already been removed" in fact or "invalidated" in fact:
        return _slot_lost(fact)
    return PostgresUnavailable(fact, hint=_BUSY_HINT)


_ROUTINES: Final[Mapping[tuple[str, str | None], Callable[[str], SidecarError]]] = {
    ("0A000", "CheckLogicalDecodingRequirements"): _away,  # a standby before PostgreSQL 16
    ("42704", "GetPublicationByName"): _publication_missing,
    ("42704", "ReplicationSlotAcquire"): _slot_missing,
    ("42704", "get_publication_oid"): _publication_missing,
    ("55000", "LoadPublications"): _publication_missing,
    ("58P01", "WalSndSegmentOpen"): _slot_lost,
}
"""SQLSTATEs with several meanings, and the functions of the server that raise one of them."""

_TRANSLATIONS: Final[Mapping[Verdict, Callable[[str], SidecarError]]] = {
    Verdict.AWAY: _away,
    Verdict.FULL: _full,
    Verdict.SLOT_BUSY: _slot_busy,
    Verdict.STATE: _state,
    Verdict.UNDEFINED: _undefined,
    Verdict.LIMIT: _limit,
    Verdict.PERMISSION: _permission,
    Verdict.CREDENTIALS: _credentials,
    Verdict.REFUSED: _refused,
    Verdict.UNSUPPORTED: _unsupported,
    Verdict.VALUE: _value,
}
