"""Rows that change all the time do not keep a snapshot from its end."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.snapshot_oracle import assert_snapshot
from tests.waiting import await_true

_ROWS = 2000
_STATEMENTS = (  # none of them changes the large value
    "UPDATE items SET n = n + 1 WHERE id = 1",
    f"UPDATE items SET n = n + 1 WHERE id = {_ROWS}",
    "UPDATE items SET id = 7 - id WHERE id IN (3, 4)",
)


@contextmanager
def _repeated(service: Service, statement: str) -> Iterator[list[int]]:
    """Run a statement during the block as often as the server can."""
    stop, done = threading.Event(), [0]

    def write() -> None:
        with psycopg.connect(service.dsn, autocommit=True) as connection:
            connection.execute("SET synchronous_commit = off")
            while not stop.is_set():
                connection.execute(statement.encode())
                done[0] += 1

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield done
    finally:
        stop.set()
        writer.join(30)


def test_rows_that_never_rest_are_sent_with_their_large_values(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(
        TABLES + MARKS, **{'mode = "never"': 'mode = "initial"\nchunk_rows = 200'}
    )
    service.sql(
        "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)",
        "ALTER TABLE items ALTER label SET STORAGE EXTERNAL",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    oracle = service.oracle()
    service.sql(
        f"INSERT INTO items SELECT k, k, repeat('l' || k, 900) FROM generate_series(1, {_ROWS}) k",
        "DELETE FROM items WHERE id = 4",
    )
    first, last, moved = (_repeated(service, statement) for statement in _STATEMENTS)
    with first as done, last, moved:
        await_true(lambda: done[0] > 100, what="rows change")
        service.sidecar.start_and_stream()
        await_true(
            lambda: service.sidecar.events("snapshot_completed"), deadline=60, what="its end"
        )
    service.await_published()
    seen = assert_snapshot(service, oracle, "items")
    assert len({event.key for event in seen if event.op == "r"}) >= _ROWS - len(_STATEMENTS) - 1
    print(done[0], "updates,", len(seen), "events")
