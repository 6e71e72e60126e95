"""The replication connection against a real walsender."""

from cdc_sidecar.postgres.lsn import ZERO
from cdc_sidecar.postgres.replication import ReplicationConnection
from tests.integration.source import PUBLICATION, SLOT, config_of, source_of
from tests.waiting import await_true

_ROWS = 600  # of 1 kB: more than libpq's default buffer holds, several times
_OWN_BUFFER = 16_384  # bytes that libpq reads at once by default
_SENT = "SELECT FROM pg_stat_replication WHERE pid = %s AND sent_lsn >= %s"


def test_one_read_takes_what_the_socket_holds(database: str) -> None:
    """A read returns hundreds of rows of 1 kB, not a dozen, because each read costs both sides."""
    with source_of(database) as source:
        source.run("CREATE TABLE shop (id int PRIMARY KEY, note text)")
        source.stream()
        source.run(
            f"INSERT INTO shop SELECT n, repeat('x', 1000) FROM generate_series(1, {_ROWS}) n"
        )
        ((end,),) = source.reader.execute("SELECT pg_current_wal_lsn()")
        connection = ReplicationConnection(config_of(database))
        try:
            connection.start(SLOT, ZERO, PUBLICATION)
            sent = (connection.backend_pid, end)
            await_true(lambda: source.reader.execute(_SENT, sent).rowcount, what="all rows sent")
            assert max(_reads(connection)) > 2 * _OWN_BUFFER
        finally:
            connection.close()


def _reads(connection: ReplicationConnection) -> list[int]:
    """Read until all rows have arrived; return the number of bytes of each read."""
    frames: list[bytes] = []
    sizes = []
    while len(frames) < _ROWS and connection.wait(timeout=10.0):
        sizes.append(0)
        while size := connection.drain(frames.append, lambda _keepalive: None, limit=100_000):
            sizes[-1] += size
    return sizes
