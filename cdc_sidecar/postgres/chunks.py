"""Reading a table piece by piece beside the stream, and marking the place in the stream.

One transaction locks the table against DDL, takes a snapshot, copies rows, and ends with a logical
message, the marker. The lock is kept until the marker is committed, so no DDL lies between the
snapshot and the marker.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, TypeVar

import psycopg
from psycopg import pq

from cdc_sidecar.config.model import Postgres
from cdc_sidecar.errors import PostgresUnavailable
from cdc_sidecar.postgres import exchange
from cdc_sidecar.postgres.catalog import PublishedTable, read_published_tables
from cdc_sidecar.postgres.connect import (
    CONNECT_TIMEOUT,
    connection_string,
    server_of,
    translated,
)
from cdc_sidecar.postgres.pgoutput import ReplicaIdentity
from cdc_sidecar.postgres.refusal import connect
from cdc_sidecar.postgres.sql_names import always_quoted, quote_literal
from cdc_sidecar.postgres.visibility import Visibility, lower_bits
from cdc_sidecar.postgres.waiting import SocketWaiter, Step

T = TypeVar("T")

LOCK_TIMEOUT: Final = "1s"
"""DDL that waits behind our lock, or before it, holds up the service no longer than this."""
STATEMENT_TIMEOUT: Final = "30s"
"""A chunk takes about 50 ms; one that takes this long is read again in smaller pieces."""
_PATIENCE: Final = 60.0
"""Seconds for a chunk: twice the time after which the server ends its query."""
_BEGIN: Final = f"""
BEGIN ISOLATION LEVEL REPEATABLE READ;
SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';
SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}';
SET LOCAL synchronous_commit = local;
SET LOCAL row_security = off;
SET LOCAL enable_seqscan = off;
SET LOCAL max_parallel_workers_per_gather = 0;
"""
_LOCK: Final = "LOCK TABLE {source} IN ACCESS SHARE MODE"
"""LOCK takes no snapshot, so the snapshot is taken when no DDL is under way. A marker need not wait
for a synchronous standby, and row-level security must be an error instead of fewer rows."""
_ATTACHED: Final = """
SELECT string_agg(concat_ws('/', i.inhrelid, i.xmin), ' ' ORDER BY i.inhrelid)
FROM pg_inherits i JOIN pg_class l ON l.oid = i.inhrelid JOIN pg_type t ON t.oid = l.reltype
WHERE i.inhrelid = ANY (leaves) AND t.xmin <> i.xmin
"""
"""The partitions that were attached; others were born as partitions, and had no row before."""
_FACTS: Final = f"""
SELECT pg_current_snapshot()::text, c.relkind::text,
       CASE c.relkind WHEN 'p' THEN abs(hashtext(coalesce(({_ATTACHED}), ''))::bigint)
                      ELSE coalesce(pg_relation_filenode(c.oid), 0)::bigint END,
       coalesce(m.amname, '') = 'heap',
       coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0),
       (SELECT sum(pg_table_size(l.oid))::bigint FROM pg_class l WHERE l.oid = ANY (leaves)),
       (SELECT sum(l.reltuples)::bigint FROM pg_class l WHERE l.oid = ANY (leaves)),
       pg_relation_size(c.oid) / current_setting('block_size')::int,
       concat_ws(' ', c.relreplident, c.relname, c.relnamespace,
         (SELECT string_agg(concat_ws('/', attnum, attname, atttypid, atttypmod, attcollation,
                                                attisdropped), ' '
                            ORDER BY attnum)
          FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0),
         (SELECT string_agg(concat_ws('/', indexrelid, xmin), ' ' ORDER BY indexrelid)
          FROM pg_index WHERE indrelid = c.oid),
         (SELECT string_agg(concat_ws('/', oid, xmin), ' ' ORDER BY oid)
          FROM pg_publication_rel WHERE prrelid = c.oid)),
       c.oid = to_regclass(%s)
FROM pg_class c LEFT JOIN pg_am m ON m.oid = c.relam,
LATERAL (SELECT CASE c.relkind WHEN 'p' THEN ARRAY(SELECT relid FROM pg_partition_tree(c.oid))
                               ELSE ARRAY[c.oid::regclass] END::oid[] AS leaves) AS tree
WHERE c.oid = %s
"""  # noqa: S608 - constants only
_LOCATE: Final = """
SELECT n.nspname::text, c.relname::text, c.relkind = 'p'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s
"""
_FILTER: Final = """
SELECT rowfilter FROM pg_publication_tables
WHERE pubname = %s AND schemaname = %s AND tablename = %s
"""
_KEY_LAYOUT: Final = """
SELECT hashtext(coalesce(string_agg(concat_ws('/', attname, atttypid, attcollation), ' '
                                    ORDER BY array_position(%s::text[], attname::text)), ''))
FROM pg_attribute WHERE attrelid = %s AND attname = ANY (%s)
"""
_FILTERS_SINCE: Final = 150000  # row filters came with version 15
_EMIT: Final = """
SELECT pg_current_xact_id()::text::bigint, pg_logical_emit_message(true, %s, %s)
"""
_RUNNING: Final = """
SELECT concat('process ', pid), usename::text, state,
       extract(epoch FROM now() - xact_start)::float, backend_xid::text::bigint
FROM pg_stat_activity WHERE backend_xid IS NOT NULL
UNION ALL
SELECT concat('prepared transaction ', gid), owner::text, 'prepared',
       extract(epoch FROM now() - prepared)::float, transaction::text::bigint
FROM pg_prepared_xacts
"""
_IDLE: Final = """
SELECT backend_xid::text::bigint FROM pg_stat_activity
WHERE backend_xid IS NOT NULL AND backend_type = 'client backend'
  AND state LIKE 'idle in transaction%'
UNION ALL
SELECT transaction::text::bigint FROM pg_prepared_xacts
WHERE NOT EXISTS (SELECT FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()
                    AND (state IS NULL OR state NOT LIKE 'idle%' AND query ~* 'prepared'))
"""
"""A COMMIT PREPARED is shown as prepared until others see it, so nobody may be at one. What a
session does may be hidden from us."""
_HASHES: Final = 1 << 31  # hashtext() gives 32 bits with a sign


@dataclass(frozen=True, slots=True)
class TableSize:
    """What the catalog says of a table at the moment of a snapshot."""

    snapshot: Visibility
    kind: str  # pg_class.relkind
    storage: int  # pg_relation_filenode(), which a rewrite changes; of a root, its attached leaves
    is_heap: bool
    large_bytes: int  # of TOASTed values
    bytes: int  # of everything but indexes
    rows: int  # estimated; negative if the table was never analysed
    pages: int
    signature: str  # changes with every DDL that changes what is read
    is_named: bool  # whether the table still has the name that was locked


@dataclass(frozen=True, slots=True)
class ReadableTable:
    """A published table as it is now, and what restricts the rows that are published."""

    published: PublishedTable
    row_filter: str | None
    signature: str
    key_layout: int  # changes with the columns of the key, their types and their collations


@dataclass(frozen=True, slots=True)
class Part:
    """Which rows to copy: those that a condition and an order describe."""

    where: str = ""
    order: tuple[str, ...] = ()
    limit: int = 0


class ChunkReader:
    """One connection; used by one thread."""

    def __init__(self, config: Postgres) -> None:
        """Connect.

        Raises:
            SidecarError: the error of the server or the network, translated.

        """
        self._config = config
        with translated(server_of(config)):
            self._connection = connect(connection_string(config))
            self._connection.execute(exchange.LONG_ROW)
        self._waiter = SocketWaiter(self._connection.fileno())

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        self._connection.close()

    @contextmanager
    def transaction(self, source: str = "") -> Iterator[None]:
        """Lock a table (`ONLY name`, or the name of a root) against DDL; roll back unless marked.

        Raises:
            SidecarError: the error of the server, translated.

        """
        with translated():
            lock = _LOCK.format(source=source) if source else ""
            try:
                self._connection.execute((_BEGIN + lock).encode())
                yield
            finally:
                if self._connection.info.transaction_status is not pq.TransactionStatus.IDLE:
                    with suppress(psycopg.Error):
                        self._connection.execute("ROLLBACK")

    def locate(self, oid: int) -> tuple[str, bool] | None:
        """Return a table's name as SQL, and whether it is partitioned; None if it is gone.

        Raises:
            SidecarError: the error of the server, translated.

        """
        with translated():
            row = self._connection.execute(_LOCATE, (oid,)).fetchone()
        return (f"{always_quoted(row[0])}.{always_quoted(row[1])}", row[2]) if row else None

    def try_condition(self, oid: int, condition: str) -> None:
        """Check that a condition on the rows of a table can be evaluated.

        Raises:
            SidecarError: the error of the server, translated.

        """
        located = self.locate(oid)
        query = f"EXPLAIN SELECT FROM {located[0] if located else oid} WHERE ({condition})"
        with translated():
            self._connection.execute(query.encode(), prepare=True)  # a single statement

    def size(self, oid: int, name: str) -> TableSize | None:
        """Take the snapshot, and return what the catalog says; None if the table is gone."""
        row = self._connection.execute(_FACTS, (name, oid)).fetchone()
        return TableSize(Visibility.parse(row[0]), *row[1:]) if row else None

    def describe(self, oid: int, signature: str) -> ReadableTable | None:
        """Return a table as it is published now; None if it is not."""
        publication = self._config.publication
        tables = read_published_tables(self._connection, publication, oid)
        if not tables:
            return None
        relation, row_filter = tables[0].relation, None
        if self._connection.info.server_version >= _FILTERS_SINCE:
            row = self._connection.execute(
                _FILTER, (publication, relation.namespace, relation.name)
            ).fetchone()
            row_filter = row[0] if row else None
        key = list(tables[0].facts.key_columns)
        row = self._connection.execute(_KEY_LAYOUT, (key, oid, key)).fetchone()
        assert row is not None  # noqa: S101 - an aggregate has a row
        return ReadableTable(tables[0], row_filter, signature, row[0] % _HASHES)

    def copy(
        self, columns: tuple[str, ...], source: str, part: Part, into: exchange.Lines, limit: int
    ) -> bool:
        """Read rows; return False if it takes too long, or has more bytes than `limit`.

        One row may have more. Without a limit, it is 0.
        """
        clauses = [f"SELECT {', '.join(map(always_quoted, columns))} FROM {source}"]  # noqa: S608 - quoted
        clauses += [f"WHERE {part.where}"] if part.where else []
        clauses += [f"ORDER BY {', '.join(part.order)}"] if part.order else []
        clauses += [f"LIMIT {part.limit}"] if part.limit else []
        query = f"COPY ({' '.join(clauses)}) TO STDOUT"
        pgconn = self._connection.pgconn
        result = self._run(exchange.copy_rows(pgconn, query, into, limit))
        if result is None:
            self._connection.cancel_safe(timeout=CONNECT_TIMEOUT)
            self._run(exchange.drop_copy(pgconn))
            return False
        if result.status == pq.ExecStatus.COMMAND_OK:
            return True
        error = psycopg.errors.error_from_result(result)
        if isinstance(error, psycopg.errors.QueryCanceled):
            return False
        raise error

    def _run(self, step: Step[T]) -> T:
        """Run a step of libpq's protocol."""
        try:
            return self._waiter.run(step, time.monotonic() + _PATIENCE)
        except TimeoutError as error:
            raise PostgresUnavailable("no answer while a chunk was read") from error

    def emit(self, prefix: str, content: bytes) -> int:
        """Emit a marker; return the id of the open transaction, as the stream will show it."""
        row = self._connection.execute(_EMIT, (prefix, content)).fetchone()
        assert row is not None  # noqa: S101 - a SELECT without FROM has a row
        return lower_bits(row[0])

    def commit(self) -> None:
        """Commit the open transaction."""
        self._connection.execute("COMMIT")

    def snapshot(self) -> Visibility:
        """Return the present snapshot."""
        with translated():
            row = self._connection.execute("SELECT pg_current_snapshot()::text").fetchone()
        assert row is not None  # noqa: S101 - a SELECT without FROM has a row
        return Visibility.parse(row[0])

    def find_idle(self, running: frozenset[int]) -> frozenset[int]:
        """Return those of the running transactions that have not begun to commit.

        Neither a prepared transaction nor an idle one has: the stream will have their changes. The
        catalog shows the lower 32 bits of an id.
        """
        with translated():
            found = {row[0] for row in self._connection.execute(_IDLE)}
        return frozenset(xid for xid in running if lower_bits(xid) in found)

    def name_running(self, running: frozenset[int]) -> list[str]:
        """Return who runs these transactions, for a person."""
        wanted = set(map(lower_bits, running))
        with translated():
            rows = self._connection.execute(_RUNNING).fetchall()
        return [
            f"{what} of {user} ({state or 'state hidden'}, {seconds or 0:.0f} s)"
            for what, user, state, seconds, xid in rows
            if xid in wanted
        ]


def reads_pages(size: TableSize, published: PublishedTable) -> bool:
    """Return whether a table is read page by page: no event of it may lack a value.

    That is so if it has no value out of line, or old rows are whole, or no row can be told from
    another one anyway.
    """
    full = published.relation.replica_identity is ReplicaIdentity.FULL
    whole = full or not size.large_bytes or not published.facts.key_columns
    return size.is_heap and size.kind == "r" and whole


def compare(columns: tuple[str, ...], operator: str, key: tuple[str, ...]) -> str:
    """Return the condition that the key of a row compares so with another key."""
    names = ", ".join(map(always_quoted, columns))
    return f"({names}) {operator} ({', '.join(map(quote_literal, key))})"


def one_of(columns: tuple[str, ...], keys: tuple[tuple[str | None, ...], ...]) -> str:
    """Return the condition that the key of a row is one of these; no part of a key is NULL."""
    rows = (f"({', '.join(quote_literal(part or '') for part in key)})" for key in keys)
    return f"({', '.join(map(always_quoted, columns))}) IN ({', '.join(rows)})"


def pages(first: int, end: int) -> str:
    """Return the condition that a row lies in these pages of its table."""
    return f"ctid >= '({first},0)'::tid AND ctid < '({end},0)'::tid"
