"""Every kind of table has its snapshot, and one that cannot be read holds up nothing."""

import itertools
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import psycopg
import pytest

from cdc_sidecar.failpoints import VARIABLE
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import MARKS, Service
from tests.acceptance.snapshot_oracle import Compared, assert_snapshots, count_rows, read_seen
from tests.waiting import await_true

_INITIAL = {'mode = "never"': 'mode = "initial"\nchunk_rows = 50'}
_LARGE = '\n[topics.config]\n"max.message.bytes" = "8000000"\n'
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


_FULL = "ALTER TABLE {} REPLICA IDENTITY FULL"
_ONLY = "SELECT * FROM ONLY {}"
_PAD = "ALTER TABLE {} ADD pad text, ALTER pad SET STORAGE EXTERNAL"
"""A table with large values is read by its key, any other one by its pages."""
_WIDE = ", ".join(f"c{n} smallint" for n in range(1597))
_PERIOD = "id int4range, valid daterange, n int, PRIMARY KEY (id, valid WITHOUT OVERLAPS)"
_PERIODS = "int4range(n, n + 1), daterange('2024-01-01', '2024-02-01'), n"
_AS_TEXT = "SELECT id::text, valid::text, n, pad FROM {}"
_MOVES = "id = id + CASE WHEN id < 1000 THEN 7000 ELSE -7000 END"
KINDS = {
    "plain": Kind("id bigint PRIMARY KEY, n int", moves=_MOVES),
    "large": Kind("id bigint PRIMARY KEY, n int", moves=_MOVES, more=_PAD),
    "composite": Kind("a int, b text, n int, PRIMARY KEY (b, a)", "n, 'b' || n % 7, n", "a b",
                      moves="b = 'c' || b", more=_PAD),
    "uuids": Kind("id uuid PRIMARY KEY, n int", "gen_random_uuid(), n",
                  moves="id = gen_random_uuid()", more=_PAD),
    "words": Kind("id text COLLATE words PRIMARY KEY, n int", f"{_WORDS}, n",
                  moves="id = id || 'z'", more=_PAD),
    "numbers": Kind("id numeric(20,6) PRIMARY KEY, n int", "n / 7.0 - 9, n",
                    moves="id = 50 - id", more=_PAD),
    "moods": Kind("kind mood, id int, n int, PRIMARY KEY (kind, id)",
                  "(ARRAY['sad', 'Ok', 'happy']::mood[])[1 + n % 3], n, n", "kind id",
                  moves="kind = 'happy'", more=_PAD),
    "by_index": Kind(
        "id int PRIMARY KEY, code text NOT NULL UNIQUE, n int", "n, 'c' || n, n", "code",
        moves="code = code || 'a'",
        more=_PAD + ", REPLICA IDENTITY USING INDEX by_index_code_key",
    ),
    "grouped": Kind("id int PRIMARY KEY, part int, n int", "n, n % 5, n",
                    more=_FULL, settings='key = ["part"]'),
    "whole": Kind("id int PRIMARY KEY, n int", moves=_MOVES, more=_PAD + ", REPLICA IDENTITY FULL"),
    "keyless": Kind("id int, n int", more=_FULL,
                    settings='snapshot = "duplicates"\nunkeyed = true'),
    "deferred": Kind("id int PRIMARY KEY DEFERRABLE, n int", moves=_MOVES, more=_FULL),
    "parent": Kind("id int PRIMARY KEY, n int", rows=_ONLY, published="ONLY {}"),
    "child": Kind("LIKE parent, more text, PRIMARY KEY (id)", "n + 1000, n, 'm'",
                  more="ALTER TABLE {} INHERIT parent"),
    "filtered": Kind("id int PRIMARY KEY, n int", moves="id = (id * 61) % 10007",
                     published="{} WHERE (id > 60)", rows="SELECT * FROM {} WHERE id > 60"),
    "listed": Kind("id int PRIMARY KEY, secret text, n int", "n, 's', n", more=_PAD,
                   published="{} (id, n)", rows="SELECT id, n FROM {}"),
    "stored": Kind("id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED, t int",
                   moves=_MOVES),
    "virtual": Kind("id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) VIRTUAL",
                    rows="SELECT id, n, pad FROM {}", more=_PAD),
    "periods": Kind(_PERIOD, _PERIODS, "id valid", rows=_AS_TEXT, more=_PAD),
    "empty": Kind("id int PRIMARY KEY, n int", count=0),
    "giant": Kind("id int PRIMARY KEY, n int, label text", "n, n, repeat('x', 3000000)", count=1),
    'Odd "name" é': Kind('id int PRIMARY KEY, n int, "a, b" text', "n, n, 'x'", more=_PAD),
    "wide": Kind(f"id int PRIMARY KEY, n int, {_WIDE}", count=60, more=_PAD),
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


def _create(service: Service, kinds: dict[str, Kind], options: str = "") -> None:
    service.sql("CREATE TYPE mood AS ENUM ('sad', 'Ok', 'happy')", _MAKE_PARTS, _COLLATION)
    for name, kind in kinds.items():
        service.sql(f"CREATE TABLE {_quoted(name)} ({kind.columns})")
        table = name if "'{}'" in kind.more else _quoted(name)
        service.sql(*[kind.more.format(table)] * bool(kind.more))
    listed = ", ".join(kind.published.format(_quoted(name)) for name, kind in kinds.items())
    service.sql(f"CREATE PUBLICATION cdc FOR TABLE {listed} {options}")


def _fill(service: Service, kinds: dict[str, Kind]) -> None:
    for name, kind in kinds.items():
        columns = "(id, n)" if kind.values == "n, n" else ""
        service.sql(
            f"INSERT INTO {_quoted(name)} {columns} SELECT {kind.values}"
            f" FROM generate_series(1, {kind.count}) n"
        )
        if " pad " in kind.more:
            service.sql(f"UPDATE {_quoted(name)} SET pad = repeat('p' || n, 900) WHERE n % 9 = 1")


def _blocks(kinds: dict[str, Kind]) -> str:
    special = "".join(
        f'\n[[tables]]\nname = "public.{name}"\ncolumns = ["*"]\n{kind.settings}\n'
        for name, kind in kinds.items()
        if kind.settings
    )
    return special + '\n[[tables]]\nname = "public.*"\ncolumns = ["*"]\n'


def _write(service: Service, kinds: dict[str, Kind], turn: int) -> None:
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


def _await_ended(
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


def test_every_kind_of_table_is_sent_once_while_it_changes(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(_blocks(KINDS) + MARKS + _LARGE, **_INITIAL)
    _create(service, KINDS, "WITH (publish_via_partition_root, publish_generated_columns = stored)")
    oracle = service.oracle()
    _fill(service, KINDS)
    service.sidecar.start_and_stream()
    _await_ended(service, len(KINDS), lambda turn: _write(service, KINDS, turn))
    assert not service.sidecar.events("snapshot_failed")
    service.await_published()
    found = assert_snapshots(service, oracle, *(k.compared(n) for n, k in KINDS.items()))
    for (name, kind), seen in zip(KINDS.items(), found, strict=True):
        count = len([event for event in seen if event.op == "r"])
        assert count >= kind.count // 2, name


def test_leaves_are_read_one_by_one_if_they_are_published_as_themselves(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(_blocks({}) + MARKS, **_INITIAL)
    kinds = {"parts": KINDS["parts"]}
    _create(service, kinds)
    oracle = service.oracle()
    _fill(service, kinds)
    service.sidecar.start_and_stream()
    _await_ended(service, 4)
    service.await_published()
    found = assert_snapshots(service, oracle, *(Compared(f"parts_{number}") for number in range(4)))
    assert [len(seen) for seen in found] == [99, 100, 1, 0]
    assert {event.op for seen in found for event in seen} == {"r"}


def test_a_row_that_the_row_filter_lets_in_comes_with_its_large_values(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(_blocks({}) + MARKS, **_INITIAL)
    kinds = {"filtered": replace(KINDS["filtered"], more=_PAD)}
    _create(service, kinds)
    _fill(service, kinds)
    service.sql(
        "DELETE FROM filtered WHERE id BETWEEN 61 AND 70",
        "UPDATE filtered SET pad = repeat('p', 9000)",
    )
    service.sidecar.start(environment={VARIABLE: "after_chunk_read#2=delay"})
    service.sidecar.await_phase("streaming")
    await_true(lambda: count_rows(service), what="a chunk is published")
    service.sql("UPDATE filtered SET id = id + 60 WHERE id <= 10")  # to places that were read
    _await_ended(service, 1)
    service.await_published()
    seen = read_seen(service, Compared("filtered"))[0]
    ids = {event.key for event in seen if event.after and event.after["pad"]}
    assert ids == {event.key for event in seen if event.op in {"c", "r"}}
    assert len(ids) == 140


_LARGER = (
    "id int PRIMARY KEY, n int, label text",
    "n, n, (SELECT string_agg(md5((n * k)::text), '') FROM generate_series(1, 3000) k)",
)


def test_values_that_are_larger_than_a_chunk_are_read_row_by_row(
    make_service: Callable[..., Service],
) -> None:
    small = {'mode = "never"': 'mode = "initial"\nchunk_bytes = "10kB"'}
    service = make_service(_blocks({}) + MARKS, **small)
    kinds = {"by_key": Kind(*_LARGER, count=40), "by_page": Kind(*_LARGER, more=_FULL)}
    _create(service, kinds)
    oracle = service.oracle()
    _fill(service, kinds)
    service.sidecar.start_and_stream()
    _await_ended(service, 2)
    service.await_published()
    by_key, by_page = assert_snapshots(service, oracle, Compared("by_key"), Compared("by_page"))
    assert len({event.commit_lsn for event in by_key}) >= 40
    assert len({event.commit_lsn for event in by_page}) < 40, "a page is not divided"


_REFUSED = {
    "hidden": Kind("id int PRIMARY KEY, n int"),
    "guarded": Kind("id int PRIMARY KEY, n int", more="ALTER TABLE {} ENABLE ROW LEVEL SECURITY"),
    "huge": Kind("id int PRIMARY KEY, n int, label text", "n, n, repeat('x', 1200000 * (n / 50))",
                 count=60),
    "plain": Kind("id int PRIMARY KEY, n int"),
}  # fmt: skip
_MENDED = (
    "GRANT SELECT ON hidden TO {role}",
    "ALTER TABLE guarded DISABLE ROW LEVEL SECURITY",
    "UPDATE huge SET label = 'small'",
)


@pytest.fixture
def role(postgres: PostgresServer) -> str:
    """Return a role that may replicate, and nothing else yet."""
    name = f"role_{secrets.token_hex(4)}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN REPLICATION".encode())
    return name


def test_a_table_that_cannot_be_read_is_named_and_holds_up_nothing(
    make_service: Callable[..., Service], role: str
) -> None:
    service = make_service(_blocks(_REFUSED) + MARKS, **_INITIAL)
    _create(service, _REFUSED)
    oracle = service.oracle()
    _fill(service, _REFUSED)
    service.sql(f"GRANT SELECT ON guarded, huge, plain TO {role}")
    service.reconfigure("user=postgres", f"user={role}")
    service.sidecar.start_and_stream()
    _await_ended(service, 4)
    failed = {event["table"]: event["error"] for event in service.sidecar.events("snapshot_failed")}
    assert failed.keys() == {f"public.{name}" for name in _REFUSED if name != "plain"}
    assert "permission denied for table hidden" in failed["public.hidden"]
    assert "row-level security" in failed["public.guarded"]
    assert "bytes" in failed["public.huge"]
    for name in _REFUSED:
        service.sql(f"UPDATE {name} SET n = n + 1 WHERE id < 9")
    service.await_published()
    found = read_seen(service, *(Compared(name) for name in _REFUSED))
    assert all(len([event for event in seen if event.op == "u"]) == 8 for seen in found)
    service.sql(*(statement.format(role=role) for statement in _MENDED))
    assert service.sidecar.terminate() == 0
    service.sidecar.start_and_stream()
    _await_ended(service, 7)
    assert len(service.sidecar.events("snapshot_failed")) == 3, "all were mended"
    service.await_published()
    assert_snapshots(service, oracle, *(Compared(name) for name in _REFUSED))


_VAST = {
    "vast": Kind("id int PRIMARY KEY, n int, label text", "n, n, repeat('x', 200000000 * (n / 3))",
                 count=3),
    "plain": KINDS["plain"],
}  # fmt: skip


def test_a_row_of_200_megabytes_fails_its_table_alone_and_without_it_the_table_is_sent(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(_blocks({}) + MARKS, **_INITIAL)
    _create(service, _VAST)
    oracle = service.oracle()
    _fill(service, _VAST)
    service.sidecar.start_and_stream()
    _await_ended(service, 2)
    (failed,) = service.sidecar.events("snapshot_failed")
    assert failed["table"] == "public.vast"
    assert "CDC-302" in failed["error"]
    assert "200000223 bytes" in failed["error"]
    assert [event["table"] for event in service.sidecar.events("snapshot_completed")] == [
        "public.plain"
    ]
    service.sql("DELETE FROM vast WHERE id = 3", "UPDATE vast SET n = 7")
    service.await_published()
    restarted = service.sidecar.run("snapshot start public.vast")
    assert restarted.returncode == 0, restarted.stderr
    _await_ended(service, 3)
    service.await_published()
    assert_snapshots(service, oracle, Compared("vast"), Compared("plain"))


_DIVIDED = {
    "divided": Kind("id int PRIMARY KEY, n int", "n - 1, n", published="{} WHERE (9 / id < 99)"),
    "plain": KINDS["plain"],
}


def test_a_row_filter_that_fails_on_an_old_row_holds_up_no_other_table(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(_blocks({}) + MARKS, **_INITIAL)
    _create(service, _DIVIDED)
    _fill(service, _DIVIDED)
    service.sidecar.start_and_stream()
    _await_ended(service, 2)
    (failed,) = service.sidecar.events("snapshot_failed")
    assert failed["table"] == "public.divided"
    assert "division by zero" in failed["error"]
    assert service.sidecar.events("snapshot_completed")[0]["rows"] == 200
