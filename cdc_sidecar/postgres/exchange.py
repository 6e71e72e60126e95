"""The exchanges with libpq in nonblocking mode, as steps that `waiting` runs.

The steps follow psycopg's `generators.py`. A step that waits to write also reads the input that
arrives: if both sides only wrote, both buffers could fill, and neither side could continue. libpq
buffers this input without a limit, so every step needs a deadline.
"""

from contextlib import suppress
from typing import Final, Protocol

import psycopg
from psycopg import pq
from psycopg.pq.abc import PGresult
from psycopg.waiting import Ready, Wait

from cdc_sidecar.postgres.waiting import Step

_READ_BYTES: Final = 1_000_000
"""Bytes that libpq reads from the socket at once, after `LONG_ROW`. Each read costs four system
calls."""
LONG_ROW: Final = f"SELECT pg_catalog.repeat(' ', {_READ_BYTES})"
"""A query that makes libpq's buffer long. It begins with 16 kB, which is 15 rows of 1 kB, grows
with the longest message, and never shrinks."""
_COPYING: Final = (pq.ExecStatus.COPY_BOTH.value, pq.ExecStatus.COPY_OUT.value)


class Libpq(Protocol):
    """The functions of `psycopg.pq.PGconn` that the steps call."""

    def send_query(self, command: bytes, /) -> None:
        """Queue a simple query."""

    def put_copy_data(self, buffer: bytes, /) -> int:
        """Queue a CopyData message; 0 if libpq cannot take it now."""

    def put_copy_end(self) -> int:
        """Queue a CopyDone message; 0 if libpq cannot take it now."""

    def flush(self) -> int:
        """Send the queue; 1 if a part of it is left."""

    def consume_input(self) -> None:
        """Read the available input of the socket into libpq's buffer."""

    def get_copy_data(self, async_: int, /) -> tuple[int, memoryview]:
        """Return the next message and its length; 0 if none is complete, -1 at the end."""

    def is_busy(self) -> int:
        """Return whether `get_result` would block."""

    def get_result(self) -> PGresult | None:
        """Return the next result of a query, or None after the last one."""


def send_query(pgconn: Libpq, statement: str) -> Step[PGresult | None]:
    """Send a simple query and return its first result.

    The other results are read and dropped, so that another query can be sent also after an error.
    A query that begins a copy has no other result before the copy ends.
    """
    pgconn.send_query(statement.encode())
    yield from flush(pgconn)
    first = yield from fetch(pgconn)
    if first is not None and first.status not in _COPYING:
        while (yield from fetch(pgconn)) is not None:
            pass
    return first


def fetch(pgconn: Libpq) -> Step[PGresult | None]:
    """Return the next result of a query, or None after the last one."""
    while pgconn.is_busy():
        yield from _read(pgconn)
    return pgconn.get_result()


def send_copy_data(pgconn: Libpq, message: bytes) -> Step[None]:
    """Send a CopyData message, after the rest of an earlier one.

    The queue therefore holds at most one message, however often this step runs into its deadline.
    """
    yield from flush(pgconn)
    while not pgconn.put_copy_data(message):
        yield from _until_writable(pgconn)
    yield from flush(pgconn)


def end_copy(pgconn: Libpq) -> Step[None]:
    """End the copy stream and return when the server has ended the command and released the slot.

    Messages that the server sends until then are dropped.
    """
    while not pgconn.put_copy_end():
        yield from _until_writable(pgconn)
    yield from flush(pgconn)
    while (size := pgconn.get_copy_data(1)[0]) >= 0:
        if size == 0:
            yield from _read(pgconn)
    with suppress(psycopg.OperationalError):  # a server that shuts down closes the connection
        yield from fetch(pgconn)


class Lines(Protocol):
    """Takes the lines of a COPY."""

    lines: list[bytes]

    def transcode_some(self) -> None:
        """Do a part of the work, while the server sends more."""


def copy_rows(pgconn: Libpq, statement: str, into: Lines, limit: int) -> Step[PGresult | None]:
    """Send a COPY … TO STDOUT, append its rows, and return the result with which it ends.

    Return None as soon as there are several rows with more than `limit` bytes in all, if it is not
    0: the server then still sends, until the query is cancelled and `drop_copy` has ended it.
    """
    first = yield from send_query(pgconn, statement)
    if first is None or first.status not in _COPYING:
        return first
    size = 0
    get, append = pgconn.get_copy_data, into.lines.append
    while True:
        length, row = get(1)
        if length > 0:
            append(bytes(row))
            size += length
            if limit and size > limit and len(into.lines) > 1:
                return None
        elif length == 0:
            into.transcode_some()
            yield from _read(pgconn)
        else:
            break
    return (yield from _last(pgconn))


def drop_copy(pgconn: Libpq) -> Step[PGresult | None]:
    """Read a copy to its end, keep no rows, and return the last result, which may be an error."""
    while (length := pgconn.get_copy_data(1)[0]) >= 0:
        if length == 0:
            yield from _read(pgconn)
    return (yield from _last(pgconn))


def _last(pgconn: Libpq) -> Step[PGresult | None]:
    """Return the last result of a query."""
    last = result = yield from fetch(pgconn)
    while result is not None:
        last, result = result, (yield from fetch(pgconn))
    return last


def flush(pgconn: Libpq) -> Step[None]:
    """Send everything that is queued."""
    while pgconn.flush():
        yield from _until_writable(pgconn)


def _until_writable(pgconn: Libpq) -> Step[None]:
    """Wait for room to write or for input, and read the input: the server may wait for that."""
    if (yield Wait.RW) & Ready.R:
        pgconn.consume_input()


def _read(pgconn: Libpq) -> Step[None]:
    yield Wait.R
    pgconn.consume_input()
