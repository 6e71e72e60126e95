"""The replication connection against a real walsender."""

import psycopg

from cdc_sidecar.config.model import Postgres
from cdc_sidecar.postgres.lsn import ZERO
from cdc_sidecar.postgres.replication import ReplicationConnection
from tests.waiting import await_true

_ROWS = 600
_OWN_BUFFER = 16_384  # bytes that libpq takes at once, unless it is told otherwise
_WRITE = """
CREATE TABLE shop (id int PRIMARY KEY, note text);
CREATE PUBLICATION shop FOR TABLE shop;
SELECT pg_create_logical_replication_slot(current_database(), 'pgoutput');
INSERT INTO shop SELECT n, repeat('x', 1000) FROM generate_series(1, {rows}) n;
"""
_SENT = "SELECT FROM pg_stat_replication WHERE pid = %s AND sent_lsn >= %s"


def test_one_read_takes_what_the_socket_holds(database: str) -> None:
    """Rows of 1 kB come by the hundred, not by the dozen: each read costs both sides."""
    with psycopg.connect(database, autocommit=True) as writer:
        for statement in _WRITE.format(rows=_ROWS).strip().split("\n"):
            writer.execute(statement.encode())
        ((slot, end),) = writer.execute("SELECT current_database(), pg_current_wal_lsn()")
        words = {"dsn": database, "slot": slot, "publication": "shop"}
        connection = ReplicationConnection(Postgres.model_validate(words))
        try:
            connection.start(slot, ZERO, "shop")
            sent = (connection.backend_pid, end)
            await_true(lambda: writer.execute(_SENT, sent).rowcount, what="all rows sent")
            assert max(_reads(connection)) > 2 * _OWN_BUFFER
        finally:
            connection.close()


def _reads(connection: ReplicationConnection) -> list[int]:
    """Read until all rows have come; return how many bytes came with each read."""
    frames: list[bytes] = []
    sizes = []
    while len(frames) < _ROWS and connection.wait(timeout=10.0):
        sizes.append(0)
        while size := connection.drain(frames.append, lambda _keepalive: None, limit=100_000):
            sizes[-1] += size
    return sizes
