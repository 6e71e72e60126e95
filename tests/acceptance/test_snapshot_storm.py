"""Snapshots under writers and kills: every `r` is the row as the stream has made it so far."""

import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.snapshot_oracle import assert_snapshot, count_rows
from tests.acceptance.test_snapshot import await_snapshots
from tests.effort import LONG, chance
from tests.waiting import await_true

_ROWS = 20_000 if LONG else 3_000
_KILLS = 10 if LONG else 3
_WRITERS = 4
_SMALL = "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)"
_LARGE = (
    _SMALL,
    "ALTER TABLE items ALTER label SET STORAGE EXTERNAL",
    "ALTER TABLE items SET (toast_tuple_target = 128)",
)
NOISE = "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 20 + 0 * {id}))"


class Writer(threading.Thread):
    """Changes rows in every way until it is told to stop."""

    def __init__(
        self, service: Service, dice: random.Random, label: str, rows: int = _ROWS
    ) -> None:
        super().__init__(daemon=True)
        self._rows = rows
        self._service = service
        self._dice = dice
        self._label = label
        self.stopping = threading.Event()
        self.transactions = 0

    def run(self) -> None:
        """Write."""
        with psycopg.connect(self._service.dsn) as connection:
            while not self.stopping.wait(0.003):
                try:
                    for _ in range(self._dice.randint(1, 4)):
                        connection.execute(self._statement().encode())
                    if self._dice.random() < 0.1:
                        connection.execute("SAVEPOINT s")
                        connection.execute(self._statement().encode())
                        connection.execute("ROLLBACK TO s")
                    connection.commit()
                    self.transactions += 1
                except psycopg.Error:  # a key that exists, or a deadlock
                    connection.rollback()

    def _statement(self) -> str:
        dice, row = self._dice, self._dice.randint(1, self._rows + 200)
        other = dice.randint(1, 2 * self._rows)
        return dice.choice([
            f"UPDATE items SET n = n + 1 WHERE id = {row}",
            f"UPDATE items SET n = n + 1 WHERE id = {row}",
            f"UPDATE items SET label = {self._label.format(id=row)} WHERE id = {row}",
            f"DELETE FROM items WHERE id = {row}",
            f"INSERT INTO items VALUES ({row}, 0, {self._label.format(id=row)})",
            f"UPDATE items SET id = {other} WHERE id = {row}",
        ])  # fmt: skip


@contextmanager
def writers(
    service: Service, dice: random.Random, label: str, rows: int = _ROWS
) -> Iterator[list[Writer]]:
    """Let some writers change rows during the block."""
    seeds = [dice.random() for _ in range(_WRITERS)]
    started = [Writer(service, random.Random(seed), label, rows) for seed in seeds]  # noqa: S311
    for writer in started:
        writer.start()
    try:
        yield started
    finally:
        for writer in started:
            writer.stopping.set()
        for writer in started:
            writer.join(30)


@pytest.mark.parametrize("table", [(_SMALL,), _LARGE], ids=["by pages", "by key"])
def test_rows_are_right_at_their_place_whatever_happens(
    make_service: Callable[..., Service], table: tuple[str, ...]
) -> None:
    dice = chance(table)
    service = make_service(
        TABLES + MARKS,
        **{'mode = "never"': 'mode = "initial"\nchunk_rows = 50\nmax_rows_per_second = 800'},
    )
    large = len(table) > 1
    label = NOISE if large else "'x' || {id}"
    service.sql(*table, "CREATE PUBLICATION cdc FOR ALL TABLES")
    oracle = service.oracle()
    filled = label.format(id="n")
    service.sql(f"INSERT INTO items SELECT n, n, {filled} FROM generate_series(1, {_ROWS}) n")
    with writers(service, dice, label):
        service.sidecar.start()
        for _ in range(_KILLS):
            service.sidecar.await_phase("streaming", deadline=60)
            await_true(lambda: _has_published(service, _ROWS // (3 * _KILLS)), what="some rows")
            service.sidecar.process.send_signal(signal.SIGKILL)
            service.sidecar.await_exit()
            service.sidecar.start()
        await_snapshots(service)
    service.await_published()
    seen = assert_snapshot(service, oracle, "items")
    keys = [event.key for event in seen if event.op == "r"]
    assert len(keys) > _ROWS // 2
    print(len(seen), "events,", len(keys), "of them r,", len(keys) - len(set(keys)), "twice")


def _has_published(service: Service, rows: int) -> bool:
    """Whether this process has published some rows of the snapshot, or all that were left."""
    return count_rows(service) >= rows or bool(service.sidecar.events("snapshot_completed"))
