"""The replication connection against a real walsender."""

import psycopg

from cdc_sidecar.config.model import Postgres
from cdc_sidecar.postgres.lsn import ZERO
from cdc_sidecar.postgres.replication import ReplicationConnection
from tests.waiting import await_true

_MUCH = 60_000  # bytes; libpq's own buffer holds 16 kB
_WRITE = """
CREATE TABLE shop (id int PRIMARY KEY, note text);
CREATE PUBLICATION shop FOR TABLE shop;
SELECT pg_create_logical_replication_slot(current_database(), 'pgoutput');
INSERT INTO shop SELECT n, repeat('x', 1000) FROM generate_series(1, 600) n;
"""
_SENT = "SELECT FROM pg_stat_replication WHERE pid = %s AND sent_lsn >= %s"


def test_one_read_takes_what_the_socket_holds(database: str) -> None:
    """Rows of 1 kB come by the hundred, not by the dozen: each read costs both sides."""
    with psycopg.connect(database, autocommit=True) as writer:
        for statement in _WRITE.strip().split("\n"):
            writer.execute(statement.encode())
        ((slot, end),) = writer.execute("SELECT current_database(), pg_current_wal_lsn()")
        words = {"dsn": database, "slot": slot, "publication": "shop"}
        connection = ReplicationConnection(Postgres.model_validate(words))
        try:
            connection.start(slot, ZERO, "shop")
            sent = (connection.backend_pid, end)
            await_true(lambda: writer.execute(_SENT, sent).rowcount, what="all rows sent")
            connection.consume()
            frames: list[bytes] = []
            connection.drain(frames.append, lambda _keepalive: None, _MUCH)
        finally:
            connection.close()
    assert sum(map(len, frames)) >= _MUCH
