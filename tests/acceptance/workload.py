"""The transactions that are written while the sidecar is killed: small, bulk and split."""

from enum import Enum
from typing import Final

import psycopg

from tests.acceptance.conftest import Service

COPY_ROWS: Final = 1500
SPLIT_ROWS: Final = 4000
_WIDE: Final = "x" * 800  # so that a part of 1 MB holds about 900 rows


class Workload(Enum):
    """The workloads. Each writes rows with ids from `start` on and makes at least one event."""

    ONE_ROW = "one_row"
    SMALL = "small"
    COPY = "copy"
    SPLIT = "split"

    @property
    def environment(self) -> dict[str, str]:
        """The configuration with which the sidecar splits it."""
        split = self is Workload.SPLIT
        return {"CDC_SIDECAR__PUBLISH__SPLIT_AFTER": '"1us"'} if split else {}

    def write(self, service: Service, start: int) -> None:
        """Write its rows to table `items`."""
        match self:
            case Workload.ONE_ROW:
                service.sql(f"INSERT INTO items VALUES ({start}, 0, 'one')")
            case Workload.SMALL:
                _write_small(service, start)
            case Workload.COPY:
                _copy(service, start, COPY_ROWS, "copy")
                service.sql(f"UPDATE items SET n = -n WHERE id = {start}")
            case Workload.SPLIT:
                _copy(service, start, SPLIT_ROWS, _WIDE)
                service.sql(f"UPDATE items SET n = -n WHERE id < {start + 10}")


def _write_small(service: Service, start: int) -> None:
    """Write small transactions, a rollback, a savepoint, key changes and deletes."""
    service.sql(
        f"INSERT INTO items VALUES ({start}, 0, 'one')",
        f"INSERT INTO items SELECT n, n, 'many' FROM generate_series({start + 1}, {start + 5}) n",
        f"BEGIN; INSERT INTO items VALUES ({start + 6}, 0, 'never'); ROLLBACK",
        f"UPDATE items SET id = id + 500, n = -1 WHERE id = {start + 1}",
        f"DELETE FROM items WHERE id = {start + 2}",
        f"BEGIN; UPDATE items SET n = 7 WHERE id = {start}; SAVEPOINT a;"
        f" DELETE FROM items WHERE id = {start}; ROLLBACK TO a;"
        f" UPDATE items SET label = 'kept' WHERE id = {start}; COMMIT",
    )


def _copy(service: Service, start: int, rows: int, label: str) -> None:
    """Write rows with one COPY: the rows of a page share one LSN."""
    with (
        psycopg.connect(service.dsn, autocommit=True) as connection,
        connection.cursor() as cursor,
        cursor.copy("COPY items FROM STDIN") as copy,
    ):
        for number in range(start, start + rows):
            copy.write_row((number, number, label))
