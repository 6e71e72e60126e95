"""The rows of an outbox table: which of them are published for certain, and their removal.

A mark joins a transaction id with an LSN. Every transaction below the id had ended when the LSN was
read, so its commit record lies below that LSN. Subtransactions are included, because an id is never
younger than that of its parent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, LiteralString

import psycopg
from psycopg import sql

from cdc_sidecar import failpoints
from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.errors import PruneRefused
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.postgres.lsn import Lsn, parse_lsn
from cdc_sidecar.postgres.sql_names import quoted, quoted_table

BLOCKS: Final = 128
"""Pages of a batch: a megabyte, which is deleted in milliseconds."""
_LOCK_TIMEOUT: Final = "500ms"
"""How long a batch waits for rows that the service has locked."""
_DROP_TIMEOUT: Final = "100ms"
"""How long the removal of a partition waits for the table: writers wait behind it."""

_LOCKED_TIMEOUT: Final = "2s"
"""How long a partition is read while its writers wait."""

_PUBLISHED: Final = (
    "age(xmin) > age(%(xid)s::xid8::xid)"
    " AND (%(since)s::bigint = 0 OR age(xmin) <= age(%(since)s::text::xid8::xid))"
)
"""A row is published: its transaction is below the mark, and not from before the capture began."""
_NEXT_XID: Final = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_MARK: Final = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text, pg_current_wal_insert_lsn()::text
"""
_PAGES: Final = """
SELECT coalesce(max(pg_relation_size(relid)), 0) / current_setting('block_size')::int
FROM (SELECT relid FROM pg_partition_tree(%(table)s) WHERE isleaf
      UNION SELECT %(table)s::regclass) tree
"""
_COLUMN: Final = """
SELECT typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE attrelid = %s::regclass AND attname = %s AND NOT attisdropped
"""
_OLD_PARTITIONS: Final = """
SELECT leaf.oid::regclass::text, parent.oid::regclass::text
FROM pg_partition_tree(%(table)s) tree
JOIN pg_class leaf ON leaf.oid = tree.relid
JOIN pg_class parent ON parent.oid = tree.parentrelid
JOIN pg_partitioned_table key ON key.partrelid = parent.oid AND partstrat = 'r' AND partnatts = 1
JOIN pg_attribute a ON a.attrelid = parent.oid AND a.attnum = key.partattrs[0]
CROSS JOIN LATERAL
    regexp_match(pg_get_expr(leaf.relpartbound, leaf.oid), $$TO \\('([^']+)'\\)$$) AS upper
WHERE tree.isleaf AND a.atttypid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
  AND pg_has_role(leaf.relowner, 'USAGE') AND pg_has_role(parent.relowner, 'USAGE')
  AND CASE WHEN upper[1] IS NOT NULL
      THEN upper[1]::timestamptz <= now() - %(age)s * interval '1 second' END
"""
_TIMES: Final[dict[str, LiteralString]] = {
    "timestamptz": "{} < now() - %(age)s * interval '1 second'",
    "timestamp": "{} < now() AT TIME ZONE 'UTC' - %(age)s * interval '1 second'",
    "int8": "{} < (extract(epoch FROM now()) - %(age)s) * 1000",
}
"""The condition on the age of a row, by the type of its column."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of the source: transactions below `xid` were committed below `lsn`, or never."""

    xid: str
    lsn: Lsn


@dataclass(frozen=True, slots=True)
class Stock:
    """What an outbox holds: rows (None: too many to count), seconds since the oldest, bytes."""

    rows: int | None
    oldest: float | None
    bytes: int


def read_mark(connection: psycopg.Connection) -> Mark:
    """Return a mark of the present moment."""
    row = connection.execute(_MARK).fetchone()
    assert row is not None  # noqa: S101 - it has no FROM
    return Mark(row[0], parse_lsn(row[1]))


def read_next_xid(connection: psycopg.Connection) -> int:
    """Return the id that the next transaction will have, in 64 bits."""
    row = connection.execute(_NEXT_XID).fetchone()
    return int(row[0]) if row else 0


class OutboxRows:
    """The rows of one outbox, as they may be removed.

    `table` is as SQL has it. `timestamps` are the names of the column that shows the age of a row,
    of which one exists; `age` is in seconds. Rows of transactions below `since` were written before
    the outbox was captured: they are never removed.
    """

    def __init__(self, table: str, timestamps: tuple[str, ...], age: float, since: int = 0) -> None:
        self._table = table
        self._timestamps = timestamps
        self._age = age
        self._since = since

    @classmethod
    def of(cls, outbox: Outbox, age: float, since: int = 0) -> "OutboxRows":
        """Return the rows of an outbox that has a table."""
        timestamps = outbox.columns.by_role.get("timestamp", ())
        return cls(quoted_table(outbox.name), timestamps, age, since)

    def prune(
        self,
        connection: psycopg.Connection,
        mark: Mark,
        stopping: Callable[[], bool] = lambda: False,
    ) -> tuple[int, int]:
        """Remove published rows; return how many rows were deleted and partitions dropped.

        Each batch is a transaction of its own. Rows that are locked are left for another time.

        Raises:
            PruneRefused: the column does not show the age of a row, or the table refuses.
            psycopg.Error: the server is not available, or a privilege is missing.

        """
        statement = self.statement(connection)
        tree = {"table": self._table, "age": self._age}
        old = connection.execute(_OLD_PARTITIONS, tree).fetchall()
        dropped = sum(
            self._drop(connection, mark, leaf, parent) for leaf, parent in old if not stopping()
        )
        pages = range(0, self._pages(connection), BLOCKS)
        deleted = sum(
            self._delete(connection, statement, mark, first) for first in pages if not stopping()
        )
        return deleted, dropped

    def _delete(
        self, connection: psycopg.Connection, statement: sql.Composed, mark: Mark, first: int
    ) -> int:
        """Delete a batch in a transaction of its own; return the number of rows."""
        place = {"first": f"({first},0)", "last": f"({first + BLOCKS},0)"}
        try:
            with connection.transaction():
                _limit(connection, _LOCK_TIMEOUT)
                done = connection.execute(statement, place | self._bounds(mark))
        except psycopg.errors.LockNotAvailable:
            return 0
        except (psycopg.errors.IntegrityError, psycopg.errors.RaiseException) as error:
            raise self._refused(error) from None
        if done.rowcount:
            failpoints.reach(Failpoint.AFTER_PRUNED_BATCH)
        return done.rowcount

    def _bounds(self, mark: Mark) -> dict[str, str | float]:
        """Return the parameters of the conditions on a row."""
        return {"xid": mark.xid, "age": self._age, "since": self._since}

    def _refused(self, error: psycopg.Error) -> PruneRefused:
        """Return the error of a table that refuses; the text of the server may hold values."""
        return PruneRefused(
            f"a constraint or a trigger of {self._table} refuses to delete rows (SQLSTATE"
            f" {error.sqlstate})",
            hint="nothing may refer to rows of an outbox: drop the foreign key or the trigger, or"
            " remove `prune`",
        )

    def statement(self, connection: psycopg.Connection) -> sql.Composed:
        """Return the statement of a batch.

        Raises:
            PruneRefused: the column does not show the age of a row.

        """
        batch = "DELETE FROM {} WHERE ctid >= %(first)s::tid AND ctid < %(last)s::tid AND "
        table = sql.SQL(escaped(self._table))
        return sql.SQL(batch + _PUBLISHED).format(table) + self._older(connection)

    def _older(self, connection: psycopg.Connection) -> sql.Composable:
        if not self._timestamps:
            return sql.SQL("")
        name, kind = self._timestamp(connection)
        if kind not in _TIMES:
            raise PruneRefused(
                f"column {name} of {self._table} does not show the age of a row",
                hint="name a column of type timestamptz, timestamp or bigint (milliseconds since"
                " 1970) in [outboxes.columns] timestamp",
            )
        return sql.SQL(" AND ") + sql.SQL(_TIMES[kind]).format(sql.SQL(escaped(quoted(name))))

    def _timestamp(self, connection: psycopg.Connection) -> tuple[str, str]:
        """Return name and type of the column that shows the age of a row; no type if none does."""
        for name in self._timestamps:
            found = connection.execute(_COLUMN, (self._table, name)).fetchone()
            if found:
                return name, found[0]
        return " or ".join(self._timestamps), ""

    def try_delete(self, connection: psycopg.Connection) -> None:
        """Let the server check that a batch is allowed; nothing is deleted.

        Raises:
            psycopg.Error: it is not: DELETE is not granted, or the table has no replica identity.

        """
        place = {"first": "(0,0)", "last": "(0,0)", "xid": "3", "age": self._age, "since": 0}
        connection.execute(sql.SQL("EXPLAIN ") + self.statement(connection), place)

    def _pages(self, connection: psycopg.Connection) -> int:
        row = connection.execute(_PAGES, {"table": self._table}).fetchone()
        return int(row[0]) if row else 0

    def _drop(self, connection: psycopg.Connection, mark: Mark, leaf: str, parent: str) -> bool:
        """Drop a partition whose time is over if every row of it is published.

        It is read before it is locked. The first lock then keeps writers out of this partition
        alone, while it is read again; the second one, of the whole table, is short. A partition
        that cannot be dropped keeps its rows for the batches.
        """
        kept = f"SELECT FROM ONLY {escaped(leaf)} WHERE NOT ({_PUBLISHED}) LIMIT 1".encode()
        bounds = self._bounds(mark)
        try:
            if connection.execute(kept, bounds).fetchone() is not None:
                return False
            with connection.transaction():
                _limit(connection, _DROP_TIMEOUT, _LOCKED_TIMEOUT)
                connection.execute(f"LOCK TABLE ONLY {leaf} IN SHARE MODE".encode())
                if connection.execute(kept, bounds).fetchone() is not None:
                    return False
                connection.execute(f"LOCK TABLE ONLY {parent} IN ACCESS EXCLUSIVE MODE".encode())
                connection.execute(f"DROP TABLE {leaf}".encode())
        except psycopg.Error as error:
            if error.sqlstate is None:  # the connection is lost
                raise
            return False
        return True

    def stock(self, connection: psycopg.Connection) -> Stock:
        """Return what the outbox holds."""
        size = "SELECT coalesce(sum(pg_total_relation_size(relid)), pg_total_relation_size(%s))"
        row = connection.execute(
            f"{size} FROM pg_partition_tree(%s)".encode(), (self._table, self._table)
        ).fetchone()
        held = int(row[0]) if row else 0
        rows = None
        if held <= _COUNTED:
            count = f"SELECT count(*) FROM {self._table}"  # noqa: S608 - it is quoted
            counted = connection.execute(count.encode()).fetchone()
            rows = int(counted[0]) if counted else 0
        return Stock(rows, self._oldest(connection), held)

    def _oldest(self, connection: psycopg.Connection) -> float | None:
        name, kind = self._timestamp(connection)
        if kind not in _TIMES:
            return None
        time = sql.SQL("to_timestamp(min({}) / 1000.0)" if kind == "int8" else "min({})")
        query = sql.SQL("SELECT extract(epoch FROM now() - {}) FROM {}").format(
            time.format(sql.Identifier(name)), sql.SQL(self._table)
        )
        row = connection.execute(query).fetchone()
        return None if row is None or row[0] is None else float(row[0])


_COUNTED: Final = 1 << 30
"""Bytes up to which rows are counted."""


def escaped(name: str) -> str:
    """Return a name for a statement with parameters, in which `%` has a meaning."""
    return name.replace("%", "%%")


def _limit(connection: psycopg.Connection, lock: str, statement: str = "30s") -> None:
    """Bound the waits of the open transaction."""
    settings = "SELECT set_config('lock_timeout', %s, true), set_config(%s, %s, true)"
    connection.execute(settings, (lock, "statement_timeout", statement))
