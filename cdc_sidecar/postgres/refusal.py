"""Connects, and finds the SQLSTATE with which a server refused a connection.

libpq passes on the server's text, which is in the language of the server's `lc_messages`, and tells
the SQLSTATE only at verbosity "verbose" (PostgreSQL documentation, 34.11 "Control functions"). That
cannot be set by a connection string, and psycopg has no function for it. So a connection that was
refused with an unknown text is tried once more, with libpq's function called directly.
"""

import ctypes
import re
import select
import sys
import time
from typing import Final

import psycopg
from psycopg import conninfo, pq

from cdc_sidecar.postgres.verdicts import is_known

_TRANSACTION_TIMEOUT_SINCE: Final = 170_000
_VERBOSE: Final = 2  # PQERRORS_VERBOSE
_ANSWERED: Final = re.compile(r"failed: \S+: {2}")
"""A server's answer: its severity, which may be translated, a colon and two spaces."""
_SQLSTATE: Final = re.compile(r": {2}([0-9A-Z]{5}): ")
_POLLED: Final = {
    pq.PollingStatus.READING: select.POLLIN,
    pq.PollingStatus.WRITING: select.POLLOUT,
}


def connect(text: str) -> psycopg.Connection:
    """Connect, in autocommit mode and `without_time_out`; `text` is a connection string.

    Raises:
        psycopg.Error: with the SQLSTATE if the server refused the connection in words that
            `verdicts` does not know.

    """
    try:
        connection = psycopg.connect(text, autocommit=True)
    except psycopg.OperationalError as error:
        fact = str(error)
        state = sqlstate_of_refusal(text) if _ANSWERED.search(fact) and not is_known(fact) else None
        if state is None:
            raise
        raise _error(state, fact) from error
    without_time_out(connection)
    return connection


def without_time_out(connection: psycopg.Connection) -> None:
    """Undo a role's `transaction_timeout`.

    A connection string that sets it would be refused before PostgreSQL 17.
    """
    if connection.info.server_version >= _TRANSACTION_TIMEOUT_SINCE:
        connection.execute("SET transaction_timeout = 0")


def sqlstate_of_refusal(text: str) -> str | None:
    """Connect again; return the SQLSTATE with which the server refuses, or None if it does not."""
    attempt = pq.PGconn.connect_start(text.encode())
    try:
        if not _tell_sqlstate(getattr(attempt, "pgconn_ptr", None)):
            return None
        _finish(attempt, time.monotonic() + _seconds(text))
        told = _SQLSTATE.search(attempt.error_message.decode(errors="replace"))
        return told and told[1]
    finally:
        attempt.finish()


def _seconds(text: str) -> int:
    return int(str(conninfo.conninfo_to_dict(text)["connect_timeout"]))


def _tell_sqlstate(pointer: int | None) -> bool:
    """Make libpq tell the SQLSTATE of errors; return False if its function cannot be called."""
    library = sys.modules[pq.PGconn.__module__].__file__
    if pointer is None or library is None:
        return False
    try:
        set_verbosity = ctypes.CDLL(library).PQsetErrorVerbosity
    except (OSError, AttributeError):  # another build of psycopg
        return False
    set_verbosity.argtypes = [ctypes.c_void_p, ctypes.c_int]
    set_verbosity(pointer, _VERBOSE)
    return True


def _finish(attempt: pq.abc.PGconn, deadline: float) -> None:
    """Go on with an attempt until it succeeds or fails, or time is up."""
    while (polled := _POLLED.get(pq.PollingStatus(attempt.connect_poll()))) is not None:
        waiting = select.poll()
        waiting.register(attempt.socket, polled)
        if not waiting.poll(max(0, deadline - time.monotonic()) * 1000):
            return


def _error(state: str, fact: str) -> psycopg.Error:
    try:
        return psycopg.errors.lookup(state)(fact)
    except KeyError:  # newer than the library
        return psycopg.OperationalError(fact)
