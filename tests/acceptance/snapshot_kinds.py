"""The kinds of tables that have a snapshot, and how a test makes, fills and changes them."""

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psycopg

from tests.acceptance.conftest import Service
from tests.acceptance.snapshot_oracle import Compared
from tests.waiting import await_true

INITIAL = {'mode = "never"': 'mode = "initial"\nchunk_rows = 50'}
LARGE_RECORDS = '\n[topics.config]\n"max.message.bytes" = "8000000"\n'
_WORDS = "(ARRAY['a', 'A', 'ä', 'Z', 'z', '_', '-', 'Å'])[1 + n % 8] || n"


@dataclass(frozen=True)
class Kind:
    """A table: its columns, the values of row `n`, its key, and what is special about it."""

    columns: str
    values: str = "n, n"
    key: str = "id"
    moves: str = ""  # how an UPDATE changes keys
    more: str = ""  # another statement that makes it, with {} for its name
    settings: str = ""  # in its block of the configuration
    rows: str = ""  # the query of the rows that are published
    published: str = "{}"  # in CREATE PUBLICATION
    count: int = 200

    def compared(self, name: str) -> Compared:
        """Return it for the comparison with its events."""
        return Compared(name, tuple(self.key.split()), self.rows.format(_quoted(name)))


def _quoted(name: str) -> str:
    return 'public."{}"'.format(name.replace('"', '""'))


FULL = "ALTER TABLE {} REPLICA IDENTITY FULL"
_ONLY = "SELECT * FROM ONLY {}"
PAD = "ALTER TABLE {} ADD pad text, ALTER pad SET STORAGE EXTERNAL"
"""A table with large values is read by its key, any other one by its pages."""
_WIDE = ", ".join(f"c{n} smallint" for n in range(1597))
_PERIOD = "id int4range, valid daterange, n int, PRIMARY KEY (id, valid WITHOUT OVERLAPS)"
_PERIODS = "int4range(n, n + 1), daterange('2024-01-01', '2024-02-01'), n"
_AS_TEXT = "SELECT id::text, valid::text, n, pad FROM {}"
_MOVES = "id = id + CASE WHEN id < 1000 THEN 7000 ELSE -7000 END"
KINDS = {
    "plain": Kind("id bigint PRIMARY KEY, n int", moves=_MOVES),
    "large": Kind("id bigint PRIMARY KEY, n int", moves=_MOVES, more=PAD),
    "composite": Kind("a int, b text, n int, PRIMARY KEY (b, a)", "n, 'b' || n % 7, n", "a b",
                      moves="b = 'c' || b", more=PAD),
    "uuids": Kind("id uuid PRIMARY KEY, n int", "gen_random_uuid(), n",
                  moves="id = gen_random_uuid()", more=PAD),
    "words": Kind("id text COLLATE words PRIMARY KEY, n int", f"{_WORDS}, n",
                  moves="id = id || 'z'", more=PAD),
    "numbers": Kind("id numeric(20,6) PRIMARY KEY, n int", "n / 7.0 - 9, n",
                    moves="id = 50 - id", more=PAD),
    "moods": Kind("kind mood, id int, n int, PRIMARY KEY (kind, id)",
                  "(ARRAY['sad', 'Ok', 'happy']::mood[])[1 + n % 3], n, n", "kind id",
                  moves="kind = 'happy'", more=PAD),
    "by_index": Kind(
        "id int PRIMARY KEY, code text NOT NULL UNIQUE, n int", "n, 'c' || n, n", "code",
        moves="code = code || 'a'",
        more=PAD + ", REPLICA IDENTITY USING INDEX by_index_code_key",
    ),
    "grouped": Kind("id int PRIMARY KEY, part int, n int", "n, n % 5, n",
                    more=FULL, settings='key = ["part"]'),
    "whole": Kind("id int PRIMARY KEY, n int", moves=_MOVES, more=PAD + ", REPLICA IDENTITY FULL"),
    "keyless": Kind("id int, n int", more=FULL,
                    settings='snapshot = "duplicates"\nunkeyed = true'),
    "deferred": Kind("id int PRIMARY KEY DEFERRABLE, n int", moves=_MOVES, more=FULL),
    "parent": Kind("id int PRIMARY KEY, n int", rows=_ONLY, published="ONLY {}"),
    "child": Kind("LIKE parent, more text, PRIMARY KEY (id)", "n + 1000, n, 'm'",
                  more="ALTER TABLE {} INHERIT parent"),
    "filtered": Kind("id int PRIMARY KEY, n int", moves="id = (id * 61) % 10007",
                     published="{} WHERE (id > 60)", rows="SELECT * FROM {} WHERE id > 60"),
    "listed": Kind("id int PRIMARY KEY, secret text, n int", "n, 's', n", more=PAD,
                   published="{} (id, n)", rows="SELECT id, n FROM {}"),
    "stored": Kind("id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED, t int",
                   moves=_MOVES),
    "virtual": Kind("id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) VIRTUAL",
                    rows="SELECT id, n, pad FROM {}", more=PAD),
    "periods": Kind(_PERIOD, _PERIODS, "id valid", rows=_AS_TEXT, more=PAD),
    "empty": Kind("id int PRIMARY KEY, n int", count=0),
    "giant": Kind("id int PRIMARY KEY, n int, label text", "n, n, repeat('x', 3000000)", count=1),
    'Odd "name" é': Kind('id int PRIMARY KEY, n int, "a, b" text', "n, n, 'x'", more=PAD),
    "wide": Kind(f"id int PRIMARY KEY, n int, {_WIDE}", count=60, more=PAD),
    "parts": Kind("id int PRIMARY KEY, n int) PARTITION BY RANGE (id",
                  moves="id = (id + 200) % 400", more="SELECT make_parts('{}')"),
}  # fmt: skip
_COLLATION = """
DO $$
BEGIN
  CREATE COLLATION words (provider = icu, locale = 'und');
EXCEPTION WHEN feature_not_supported THEN  -- the server was built without ICU
  CREATE COLLATION words (provider = builtin, locale = 'PG_UNICODE_FAST');
END $$
"""
_MAKE_PARTS = """
CREATE FUNCTION make_parts(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  FOR k IN 0..3 LOOP
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)',
                   name || '_' || k, name, k * 100, k * 100 + 100);
  END LOOP;
END $$
"""


def create(service: Service, kinds: dict[str, Kind], options: str = "") -> None:
    """Create the tables, with a publication."""
    service.sql("CREATE TYPE mood AS ENUM ('sad', 'Ok', 'happy')", _MAKE_PARTS, _COLLATION)
    for name, kind in kinds.items():
        service.sql(f"CREATE TABLE {_quoted(name)} ({kind.columns})")
        table = name if "'{}'" in kind.more else _quoted(name)
        service.sql(*[kind.more.format(table)] * bool(kind.more))
    listed = ", ".join(kind.published.format(_quoted(name)) for name, kind in kinds.items())
    service.sql(f"CREATE PUBLICATION cdc FOR TABLE {listed} {options}")


def fill(service: Service, kinds: dict[str, Kind]) -> None:
    """Write the rows."""
    for name, kind in kinds.items():
        columns = "(id, n)" if kind.values == "n, n" else ""
        service.sql(
            f"INSERT INTO {_quoted(name)} {columns} SELECT {kind.values}"
            f" FROM generate_series(1, {kind.count}) n"
        )
        if " pad " in kind.more:
            service.sql(f"UPDATE {_quoted(name)} SET pad = repeat('p' || n, 900) WHERE n % 9 = 1")


def blocks(kinds: dict[str, Kind]) -> str:
    """Return the configuration of the tables."""
    special = "".join(
        f'\n[[tables]]\nname = "public.{name}"\ncolumns = ["*"]\n{kind.settings}\n'
        for name, kind in kinds.items()
        if kind.settings
    )
    return special + '\n[[tables]]\nname = "public.*"\ncolumns = ["*"]\n'


def write_some(service: Service, kinds: dict[str, Kind], turn: int) -> None:
    """Change some rows of every table, each time others."""
    with psycopg.connect(service.dsn) as connection:
        for name, kind in kinds.items():
            if "duplicates" in kind.settings:  # without a key, no change can be matched with a row
                continue
            table = _quoted(name)
            connection.execute(f"UPDATE {table} SET n = n + 13 WHERE n % 13 = {turn % 13}".encode())
            connection.execute(f"DELETE FROM {table} WHERE n % 97 = {turn}".encode())
            if kind.moves:
                move = f"UPDATE {table} SET {kind.moves} WHERE n % 17 = {turn % 17}"
                with suppress(psycopg.errors.UniqueViolation), connection.transaction():
                    connection.execute(move.encode())
            connection.commit()


def await_ended(
    service: Service, tables: int, meanwhile: Callable[[int], object] = lambda _: None
) -> None:
    """Wait until the snapshots of some tables have ended, or failed."""
    turns = itertools.count()

    def ended() -> bool:
        meanwhile(next(turns))
        events = ("snapshot_completed", "snapshot_failed")
        return sum(len(service.sidecar.events(event)) for event in events) >= tables

    try:
        await_true(ended, deadline=90, what="the snapshots ended")
    except AssertionError as error:
        error.add_note(service.sidecar.log_text()[-5000:])
        raise
