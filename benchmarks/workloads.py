"""The workloads: their tables, and the transactions of their backlogs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

Write = tuple[str, int]
"""A statement with one transaction or many, and the number of its events."""

_SMALL: Final = "id bigint PRIMARY KEY, amount int, name text, price numeric(10, 2), at timestamptz"
_SMALL_ROW: Final = "n, n % 1000, 'customer ' || n, (n % 100000) / 100.0, now()"
_ONE_ROW: Final = """
CREATE PROCEDURE one_row(first bigint, last bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN first..last LOOP
        INSERT INTO small VALUES (n, n % 1000, 'customer ' || n, (n % 100000) / 100.0, now());
        COMMIT;
    END LOOP;
END $$
"""
_PAYLOAD: Final = (
    """'{"order": ' || n || ', "customer": "customer ' || n || '", "total": ' || n % 1000 || '.5,"""
    """ "placed": "2026-11-28T10:00:00Z", "note": "' || repeat('x', 80) || '", "lines":"""
    """ [{"sku": "sku-' || n % 100 || '", "quantity": 1}, {"sku": "sku-7", "quantity": 2}]}'"""
)
_EVENT: Final = (
    "lpad(to_hex(n), 32, '0')::uuid, 'order', (n % 1000)::text, 'OrderPlaced', " + _PAYLOAD
)
_MESSAGE: Final = (
    """'{"id": "' || id || '", "aggregatetype": "' || kind || '", "aggregateid": "' || of"""
    """ || '", "type": "' || type || '", "payload": ' || payload || '}'"""
)
_LARGE: Final = 10_000  # rows of a transaction in a bulk load
_SHORT: Final = 100  # rows of a transaction in a service
_CALL: Final = 1_000  # transactions of a statement: a mark of progress after each is fine enough
_VERSIONS: Final = 10  # of each updated row, so that a wrong order is seen


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload; subclasses define what is written.

    `version` names a column that grows with each change of a row; without it, each row is written
    once. `compared` names the columns that are compared; if it is empty, all are. The first `warm`
    events do not count, because the broker creates the files of a topic at its first use. The rows
    of a `snapshot` are written before the slot is created.
    """

    name: str
    about: str
    rows: int  # of a full run, unless replaced
    version: str | None = None
    compared: tuple[str, ...] = ()
    published: bool = True
    long: bool = False  # takes long: fewer runs, no warm-up
    snapshot: bool = False
    warm: int = 0
    tables: tuple[str, ...] = field(default=("small",))

    def prepare(self) -> Iterator[str]:
        """Yield the statements that run before the slot is created."""
        yield f"CREATE TABLE small ({_SMALL})"

    def write(self) -> Iterator[Write]:
        """Yield the backlog."""
        yield from _inserts("small", _SMALL_ROW, self.rows, _LARGE)


class OneRow(Workload):
    """Transactions of one row."""

    def prepare(self) -> Iterator[str]:
        """Yield the statements that run before the slot is created."""
        yield from Workload.prepare(self)
        yield _ONE_ROW

    def write(self) -> Iterator[Write]:
        """Yield the backlog."""
        for first, last in _ranges(self.rows, _CALL):
            yield f"CALL one_row({first}, {last})", last - first + 1


class Wide(Workload):
    """Rows of 29 columns of all common types, about 1 kB."""

    def prepare(self) -> Iterator[str]:
        """Yield the statements that run before the slot is created."""
        names = [f"text{n} text" for n in range(8)] + [f"number{n} int" for n in range(6)]
        names += [f"big{n} bigint" for n in range(4)] + [f"price{n} numeric(12, 2)" for n in (0, 1)]
        names += [f"share{n} double precision" for n in (0, 1)] + ["flag boolean", "place uuid"]
        names += [f"at{n} timestamptz" for n in range(3)] + ["empty text"]
        yield f"CREATE TABLE wide (id bigint PRIMARY KEY, {', '.join(names)})"

    def write(self) -> Iterator[Write]:
        """Yield the backlog."""
        parts = [f"repeat(chr(97 + (n % 26)::int), 90) || {n}" for n in range(8)]
        parts += [f"(n % 1000 + {n})::int" for n in range(6)] + [f"n * {n + 1}" for n in range(4)]
        parts += ["(n % 100000) / 100.0", "-n / 100.0", "n / 8.0", "n * 0.25", "n % 2 = 0"]
        parts += ["lpad(to_hex(n), 32, '0')::uuid", "now()", "now()", "now()", "NULL"]
        yield from _inserts("wide", f"n, {', '.join(parts)}", self.rows, _LARGE // 10)


class UpdatesFull(Workload):
    """Updates with REPLICA IDENTITY FULL: an event has the whole old row too."""

    def prepare(self) -> Iterator[str]:
        """Yield the statements that run before the slot is created."""
        yield from Workload.prepare(self)
        yield "ALTER TABLE small REPLICA IDENTITY FULL"
        yield _insert("small", _SMALL_ROW, 1, _keys(self.rows))[0]
        yield "UPDATE small SET amount = 0"

    def write(self) -> Iterator[Write]:
        """Yield the backlog."""
        yield from _updates("UPDATE small SET amount = amount + 1, at = now()", self.rows)


class Toast(Workload):
    """Updates that do not change a large column, which is then not in the WAL."""

    def prepare(self) -> Iterator[str]:
        """Yield the statements that run before the slot is created."""
        yield "CREATE TABLE toast (id bigint PRIMARY KEY, amount int, name text, large text)"
        yield "ALTER TABLE toast ALTER large SET STORAGE EXTERNAL"
        row = "n, 0, 'customer ' || n, repeat(md5(n::text), 128)"
        yield _insert("toast", row, 1, _keys(self.rows))[0]

    def write(self) -> Iterator[Write]:
        """Yield the backlog."""
        yield from _updates("UPDATE toast SET amount = amount + 1", self.rows)


class Huge(Workload):
    """One transaction; a row before it shows when the stream has reached it."""

    def write(self) -> Iterator[Write]:
        """Yield the backlog."""
        yield _insert("small", _SMALL_ROW, 1, 1)
        yield _insert("small", _SMALL_ROW, 2, self.rows)


class Tables(Workload):
    """The same rows in short transactions, one table after the other."""

    def prepare(self) -> Iterator[str]:
        """Yield the statements that run before the slot is created."""
        for table in self.tables:
            yield f"CREATE TABLE {table} ({_SMALL})"

    def write(self) -> Iterator[Write]:
        """Yield the backlog."""
        for number, (first, last) in enumerate(_ranges(self.rows, _SHORT)):
            yield _insert(self.tables[number % len(self.tables)], _SMALL_ROW, first, last)


class Ddl(Tables):
    """As `Tables`, but every table gets a column halfway."""

    def write(self) -> Iterator[Write]:
        """Yield the backlog."""
        for number, (first, last) in enumerate(_ranges(self.rows, _SHORT)):
            table, later = self.tables[number % len(self.tables)], first > self.rows // 2
            if later and first <= self.rows // 2 + _SHORT * len(self.tables):
                yield f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS note text", 0
            row = f"{_SMALL_ROW}, 'note ' || n" if later else _SMALL_ROW
            yield _insert(table, row, first, last)


@dataclass(frozen=True, slots=True)
class Outbox(Workload):
    """Events of an outbox: rows that stay."""

    avro: bool = False  # the payload gets a schema of its own
    together: int = _SHORT // 10  # in a transaction
    tables: tuple[str, ...] = ("outbox",)

    def prepare(self) -> Iterator[str]:
        """Yield the statements that run before the slot is created."""
        yield (
            "CREATE TABLE outbox (id uuid PRIMARY KEY, aggregatetype text NOT NULL,"
            " aggregateid text NOT NULL, type text NOT NULL, payload text)"
        )

    def write(self) -> Iterator[Write]:
        """Yield the backlog."""
        yield from _inserts("outbox", _EVENT, self.rows, self.together)

    @property
    def expected(self) -> str:
        """The query of the events that must come: the rows of the table may be gone."""
        columns = "id, aggregatetype, aggregateid, type, payload"
        rows = f"SELECT {_EVENT} FROM generate_series(1::bigint, {self.rows}) n"
        return f"SELECT id, aggregatetype, aggregateid, payload FROM ({rows}) rows ({columns})"


class PassingOutbox(Outbox):
    """The same; each row is deleted in its transaction."""

    def write(self) -> Iterator[Write]:
        """Yield the backlog."""
        for statement, events in Outbox.write(self):
            yield f"{statement}; DELETE FROM outbox", events


class OutboxMessages(Outbox):
    """The same without a table."""

    def prepare(self) -> Iterator[str]:
        """Yield the statements that run before the slot is created."""
        yield "CREATE TABLE outbox (id int PRIMARY KEY)"  # a publication needs one

    def write(self) -> Iterator[Write]:
        """Yield the backlog."""
        for first, last in _ranges(self.rows, self.together):
            series = f"generate_series({first}::bigint, {last}::bigint) n"
            yield (
                (
                    f"SELECT count(pg_logical_emit_message(true, 'outbox', {_MESSAGE})) FROM"
                    f" (SELECT {_EVENT} FROM {series}) rows (id, kind, of, type, payload)"
                ),
                last - first + 1,
            )


class Unpublished(Workload):
    """Only a table outside the publication is written."""

    def prepare(self) -> Iterator[str]:
        """Yield the statements that run before the slot is created."""
        yield from Workload.prepare(self)
        yield f"CREATE TABLE other ({_SMALL})"

    def write(self) -> Iterator[Write]:
        """Yield the backlog."""
        yield from _inserts("other", _SMALL_ROW, self.rows, _LARGE)


def _inserts(table: str, row: str, rows: int, size: int) -> Iterator[Write]:
    for first, last in _ranges(rows, size):
        yield _insert(table, row, first, last)


def _insert(table: str, row: str, first: int, last: int) -> Write:
    series = f"generate_series({first}::bigint, {last}::bigint) n"
    return f"INSERT INTO {table} SELECT {row} FROM {series}", last - first + 1


def _updates(statement: str, rows: int) -> Iterator[Write]:
    for _ in range(_VERSIONS):
        for first, last in _ranges(_keys(rows), _LARGE):
            yield f"{statement} WHERE id BETWEEN {first} AND {last}", last - first + 1


def _keys(rows: int) -> int:
    return max(1, rows // _VERSIONS)


def _ranges(rows: int, size: int) -> Iterator[tuple[int, int]]:
    for first in range(1, rows + 1, size):
        yield first, min(first + size - 1, rows)


def _many(count: int) -> tuple[str, ...]:
    return tuple(f"small_{n}" for n in range(count))


WORKLOADS: Final = (
    Workload("small", "5 columns, about 100 bytes, 10,000 rows a transaction", 800_000),
    OneRow("one_row", "the same rows, one a transaction", 300_000),
    Wide("wide", "29 columns, 1 kB, 1,000 rows a transaction", 300_000, tables=("wide",)),
    UpdatesFull(
        "updates_full", "updates, REPLICA IDENTITY FULL, 10,000 a transaction", 300_000, "amount"
    ),
    Toast(
        "toast",
        "updates that leave a column of 4 kB alone",
        200_000,
        "amount",
        ("id", "amount", "name"),
        tables=("toast",),
    ),
    Huge("huge", "all rows in one transaction", 5_000_000, long=True),
    Ddl(
        "ddl_500",
        "500 tables, a column added to each halfway, 100 rows a transaction",
        200_000,
        warm=50_000,
        tables=_many(500),
    ),
    Tables("tables_1", "one table, 100 rows a transaction", 400_000, warm=100_000, tables=_many(1)),
    Tables(
        "tables_1000",
        "1,000 tables, 100 rows a transaction",
        400_000,
        warm=100_000,
        tables=_many(1000),
    ),
    Outbox("outbox", "outbox, 300 bytes, 10 events a transaction", 200_000),
    Outbox("outbox_avro", "the same, with a schema for the payload", 200_000, avro=True),
    Outbox(
        "outbox_long",
        "the same, 10,000 events a transaction, like the small rows",
        400_000,
        avro=True,
        together=_LARGE,
    ),
    PassingOutbox(
        "outbox_passing",
        "as outbox_long; each row is deleted",
        200_000,
        avro=True,
        together=_LARGE,
    ),
    OutboxMessages(
        "outbox_message", "as outbox_long, without a table", 200_000, avro=True, together=_LARGE
    ),
    PassingOutbox("outbox_passing_framed", "as outbox; each row is deleted", 200_000),
    OutboxMessages("outbox_message_framed", "as outbox, without a table", 200_000),
    Workload(
        "snapshot_small",
        "a snapshot of the small rows",
        2_000_000,
        long=True,
        snapshot=True,
    ),
    Wide(
        "snapshot_wide",
        "a snapshot of rows of 1 kB",
        1_000_000,
        long=True,
        snapshot=True,
        tables=("wide",),
    ),
    Tables(
        "snapshot_1000",
        "a snapshot of 1,000 tables of 100 rows",
        100_000,
        long=True,
        snapshot=True,
        tables=_many(1000),
    ),
    Unpublished(
        "unpublished", "another table writes, 10,000 rows a transaction", 1_000_000, published=False
    ),
)
