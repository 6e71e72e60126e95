"""The replication connection against a real walsender."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from cdc_sidecar.postgres.lsn import ZERO, Lsn, parse_lsn
from cdc_sidecar.postgres.replication import STATUS_TIMEOUT, ReplicationConnection
from tests.acceptance.own_postgres import frozen
from tests.integration.source import PUBLICATION, SLOT, Source, config_of, source_of
from tests.waiting import await_true

_ROWS = 600  # of 1 kB: more than libpq's default buffer holds, several times
_OWN_BUFFER = 16_384  # bytes that libpq reads at once by default
_SENT = "SELECT FROM pg_stat_replication WHERE pid = %s AND sent_lsn >= %s"
_ACTIVE = "SELECT FROM pg_replication_slots WHERE slot_name = %s AND active"
_CONFIRMED = "SELECT FROM pg_replication_slots WHERE slot_name = %s AND confirmed_flush_lsn = %s"
_MOST_STATUSES = (
    1_000_000  # the kernel's buffers hold tens of thousands; less than the WAL in bytes
)


def test_one_read_takes_what_the_socket_holds(database: str) -> None:
    """Each read costs both sides, so a read returns more than libpq's default buffer holds."""
    with source_of(database) as source:
        source.run("CREATE TABLE shop (id int PRIMARY KEY, note text)")
        source.stream()
        source.run(
            f"INSERT INTO shop SELECT n, repeat('x', 1000) FROM generate_series(1, {_ROWS}) n"
        )
        ((end,),) = source.reader.execute("SELECT pg_current_wal_lsn()")
        with _streaming(database) as connection:
            sent = (connection.backend_pid, end)
            await_true(lambda: source.reader.execute(_SENT, sent).rowcount, what="all rows sent")
            assert max(_reads(connection)) > 2 * _OWN_BUFFER


def test_a_status_that_a_frozen_server_does_not_read_is_not_sent_until_it_reads_again(
    database: str,
) -> None:
    """The rows that the server sent before are not read either: both directions are full."""
    with source_of(database) as source:
        source.stream()
        end = _write(source)
        with _streaming(database) as connection:
            with frozen(connection.backend_pid):
                unsent, seconds = _fill(connection, end)
            assert seconds < 20 * STATUS_TIMEOUT  # a busy machine included
            await_true(lambda: connection.send_status(unsent), what="the status was sent")
            _await_confirmed(source.reader, unsent)


def test_the_slot_is_free_and_the_last_status_confirmed_when_the_stream_has_ended(
    database: str,
) -> None:
    with source_of(database) as source:
        source.stream()
        end = _write(source)
        with _streaming(database) as connection:
            assert connection.send_status(end)
            connection.end(timeout=30.0)
            assert not source.reader.execute(_ACTIVE, (SLOT,)).rowcount
            _await_confirmed(source.reader, end)


def test_a_timeline_whose_history_file_is_missing_has_no_known_ancestor(database: str) -> None:
    connection = ReplicationConnection(config_of(database))
    try:
        assert connection.timeline_history(2) == {}, "the server has only timeline 1"
        assert connection.identify_system().timeline == 1, "the connection can still be used"
    finally:
        connection.close()


@contextmanager
def _streaming(database: str) -> Iterator[ReplicationConnection]:
    connection = ReplicationConnection(config_of(database))
    try:
        connection.start(SLOT, ZERO, PUBLICATION)
        yield connection
    finally:
        connection.close()


def _write(source: Source) -> Lsn:
    """Write to the WAL; return where it ends."""
    source.run(
        "CREATE TABLE written (id int PRIMARY KEY, note text)",
        "INSERT INTO written SELECT n, repeat('x', 1000) FROM generate_series(1, 4000) n",
    )
    ((end,),) = source.reader.execute("SELECT pg_current_wal_lsn()::text")
    return parse_lsn(end)


def _fill(connection: ReplicationConnection, end: Lsn) -> tuple[Lsn, float]:
    """Send statuses until the buffers are full, each for an LSN of its own before `end`.

    Return the LSN of the first status that was not sent, and how long that took.
    """
    for ahead in range(_MOST_STATUSES, 0, -1):
        began = time.monotonic()
        if not connection.send_status(Lsn(end - ahead)):
            return Lsn(end - ahead), time.monotonic() - began
    raise AssertionError("the buffers never filled")


def _await_confirmed(reader: psycopg.Connection, lsn: Lsn) -> None:
    confirmed = (SLOT, f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}")
    await_true(lambda: reader.execute(_CONFIRMED, confirmed).rowcount, what="it was confirmed")


def _reads(connection: ReplicationConnection) -> list[int]:
    """Read until all rows have arrived; return the number of bytes of each read."""
    frames: list[bytes] = []
    sizes = []
    while len(frames) < _ROWS and connection.wait(timeout=10.0):
        sizes.append(0)
        while size := connection.drain(frames.append, lambda _keepalive: None, limit=100_000):
            sizes[-1] += size
    return sizes
