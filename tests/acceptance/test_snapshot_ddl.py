"""A table that is changed by DDL in the middle of its snapshot loses no row."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from cdc_sidecar.failpoints import VARIABLE
from tests.acceptance.conftest import MARKS, Service
from tests.acceptance.own_postgres import ask
from tests.acceptance.snapshot_oracle import Compared, assert_snapshots, count_rows, read_seen
from tests.waiting import await_true

_ROWS = 300
_SLOW = {'mode = "never"': 'mode = "initial"\nchunk_rows = 50\nmax_rows_per_second = 200'}
_SMALL = "id int PRIMARY KEY, n int, label text"
_KEYED = "id int PRIMARY KEY, n int, label text, pad text"
"""The last column has large values: the table is read by its key."""


@dataclass(frozen=True)
class Change:
    """What is done to a table once some of its rows are published."""

    columns: str
    statements: tuple[str, ...]
    settings: str = 'columns = ["*"]'
    rows: str = "SELECT * FROM {}"


_AGAIN = "INSERT INTO {0} (id, n) SELECT k, k FROM generate_series(1, 400, 3) k"
CHANGES = {
    "added": Change(_SMALL, ("ALTER TABLE {} ADD more int", "UPDATE {} SET more = n WHERE n > 90")),
    "added_by_key": Change(_KEYED, ("ALTER TABLE {} ADD more int", "UPDATE {} SET more = n")),
    "dropped": Change(_SMALL, ("ALTER TABLE {} DROP label",)),
    "dropped_by_key": Change(_KEYED, ("ALTER TABLE {} DROP label", "UPDATE {} SET n = n + 1")),
    "rewritten": Change(_SMALL, ("ALTER TABLE {} ALTER n TYPE bigint",)),
    "rewritten_by_key": Change(_KEYED, ("ALTER TABLE {} ALTER n TYPE bigint",)),
    "key_changed": Change(_KEYED.replace("int P", "text P"), (
        'ALTER TABLE {} ALTER id TYPE text COLLATE "POSIX"', "UPDATE {} SET n = n + 1")),
    "column_renamed": Change(_SMALL, ("ALTER TABLE {} RENAME label TO text",),
                             'columns = ["id", "n"]', "SELECT id, n FROM {}"),
    "truncated": Change(_SMALL, ("TRUNCATE {}", _AGAIN),
                        'columns = ["*"]\ntruncate = "event"'),
    "truncated_by_key": Change(_KEYED, ("TRUNCATE {}", _AGAIN),
                               'columns = ["*"]\ntruncate = "event"'),
    "vacuumed": Change(_SMALL, ("DELETE FROM {} WHERE id % 3 = 0", "VACUUM FULL {}")),
    "vacuumed_by_key": Change(_KEYED, ("DELETE FROM {} WHERE id % 3 = 0", "VACUUM FULL {}")),
    "clustered": Change(_SMALL, ("UPDATE {} SET id = 1000 - id WHERE id % 3 = 0",
                                 "CLUSTER {0} USING {0}_pkey")),
    "shrunk": Change(_SMALL, ("DELETE FROM {} WHERE id > 200", "VACUUM {}", _AGAIN.replace(
        "1, 400", "401, 600"))),
    "renamed": Change(_SMALL, ("ALTER TABLE {0} RENAME TO away", "ALTER TABLE away RENAME TO {0}")),
    "swapped": Change(_KEYED, (
        "CREATE TABLE other (LIKE {} INCLUDING ALL)",
        "ALTER TABLE {0} RENAME TO away; ALTER TABLE other RENAME TO {0}",
        "ALTER TABLE {0} RENAME TO other; ALTER TABLE away RENAME TO {0}",
    )),
    "identified": Change(
        "id int PRIMARY KEY, n int, label text, pad text,"
        " code int NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE",
        ("ALTER TABLE {0} REPLICA IDENTITY USING INDEX {0}_code_key", "UPDATE {} SET n = n + 1"),
    ),
    "detached": Change(
        "id int PRIMARY KEY, n int, label text) PARTITION BY RANGE (id",
        ("ALTER TABLE {0} DETACH PARTITION {0}_1",), rows="SELECT * FROM {0} UNION ALL TABLE {0}_1",
    ),
}  # fmt: skip


def _create(service: Service) -> None:
    for name, change in CHANGES.items():
        service.sql(f"CREATE TABLE {name} ({change.columns})")
        if "PARTITION" in change.columns:
            service.sql(
                f"CREATE TABLE {name}_1 PARTITION OF {name} FOR VALUES FROM (0) TO (40)",
                f"CREATE TABLE {name}_2 PARTITION OF {name} FOR VALUES FROM (40) TO (900)",
            )
        if "pad" in change.columns:
            service.sql(f"ALTER TABLE {name} ALTER pad SET STORAGE EXTERNAL")
    listed = ", ".join(CHANGES)
    service.sql(f"CREATE PUBLICATION cdc FOR TABLE {listed} WITH (publish_via_partition_root)")


def _fill(service: Service) -> None:
    for name, change in CHANGES.items():
        service.sql(
            f"INSERT INTO {name} (id, n, label)"
            f" SELECT k, k, repeat('l', 200) FROM generate_series(1, {_ROWS}) k"
        )
        if "pad" in change.columns:
            service.sql(f"UPDATE {name} SET pad = repeat('p' || n, 900) WHERE n % 9 = 1")


def _change(service: Service, name: str, change: Change) -> int:
    """Wait until a part of a table is published; change it; return where in the WAL."""
    await_true(
        lambda: count_rows(service, name) or service.sidecar.process.poll() is not None,
        deadline=60,
        what=f"rows of {name} are published",
    )
    assert service.sidecar.process.poll() is None, service.sidecar.log_text()
    at = service.current_lsn()
    with psycopg.connect(service.dsn, autocommit=True) as connection:
        for statement in change.statements:
            connection.execute(statement.format(name).encode())
    return at


def test_ddl_in_the_middle_of_a_snapshot_loses_no_row(make_service: Callable[..., Service]) -> None:
    blocks = "".join(
        f'\n[[tables]]\nname = "public.{name}"\n{change.settings}\n'
        for name, change in CHANGES.items()
    )
    service = make_service(blocks + MARKS, **_SLOW)
    _create(service)
    oracle = service.oracle()
    _fill(service)
    service.sidecar.start_and_stream()
    changed = [_change(service, name, change) for name, change in CHANGES.items()]
    await_true(
        lambda: len(service.sidecar.events("snapshot_completed")) == len(CHANGES),
        deadline=60,
        what="the snapshots ended",
    )
    assert not service.sidecar.events("snapshot_failed")
    service.await_published()
    compared = [Compared(n, rows=c.rows.format(n), loose=True) for n, c in CHANGES.items()]
    found = assert_snapshots(service, oracle, *compared)
    late = [
        name
        for name, at, seen in zip(CHANGES, changed, found, strict=True)
        if at > max(event.commit_lsn for event in seen if event.op == "r")
    ]
    assert len(late) < 4, f"{late} were changed at their end: the machine is too busy"


def test_a_table_that_takes_the_name_while_the_lock_is_awaited_is_not_read_instead(
    make_service: Callable[..., Service],
) -> None:
    block = '\n[[tables]]\nname = "public.items"\ncolumns = ["*"]\n'
    service = make_service(block + MARKS, **_SLOW)
    service.sql(f"CREATE TABLE items ({_SMALL})", "CREATE PUBLICATION cdc FOR TABLE items")
    oracle = service.oracle()
    service.sql(
        "INSERT INTO items SELECT k, k, 'right' FROM generate_series(1, 600) k",
        "CREATE TABLE other AS SELECT id, n, 'wrong' AS label FROM items",
    )
    service.sidecar.start_and_stream()
    await_true(lambda: count_rows(service), what="some rows are published")
    with psycopg.connect(service.dsn) as connection:
        connection.execute("ALTER TABLE items RENAME TO away; ALTER TABLE other RENAME TO items")
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock'"
        await_true(lambda: ask(service.dsn, waiting), what="the sidecar waits for the lock")
    await_true(lambda: service.sidecar.events("snapshot_interrupted"), what="it stepped back")
    service.sql("ALTER TABLE items RENAME TO other; ALTER TABLE away RENAME TO items")
    service.sql("UPDATE items SET n = 0 WHERE id % 5 = 0")
    await_true(lambda: service.sidecar.events("snapshot_completed"), deadline=60, what="its end")
    service.await_published()
    assert_snapshots(service, oracle, Compared("items"))


def test_ddl_waits_for_the_marker_of_the_rows_that_were_read(
    make_service: Callable[..., Service],
) -> None:
    block = '\n[[tables]]\nname = "public.items"\ncolumns = ["*"]\ntruncate = "event"\n'
    service = make_service(block + MARKS, **_SLOW)
    service.sql(f"CREATE TABLE items ({_KEYED})", "CREATE PUBLICATION cdc FOR TABLE items")
    oracle = service.oracle()
    service.sql("INSERT INTO items SELECT k, k, 'old' FROM generate_series(1, 400) k")
    service.sidecar.start(environment={VARIABLE: "after_chunk_read#2=delay"})
    service.sidecar.await_phase("streaming")
    await_true(lambda: count_rows(service), what="some rows are published")
    service.sql("TRUNCATE items", _AGAIN.format("items"))
    await_true(lambda: service.sidecar.events("snapshot_completed"), deadline=60, what="its end")
    service.await_published()
    (seen,) = assert_snapshots(service, oracle, Compared("items"))
    assert [event.op for event in seen].index("t") >= 100, "two chunks come before it"


_LEAF = "CREATE TABLE parted_{} PARTITION OF parted FOR VALUES FROM ({}) TO ({})"
_PARTED = (
    "CREATE TABLE parted (id int PRIMARY KEY, n int) PARTITION BY RANGE (id)",
    _LEAF.format("a", 0, 1000),
    "CREATE PUBLICATION cdc FOR TABLE parted WITH (publish_via_partition_root)",
    f"INSERT INTO parted SELECT k, k FROM generate_series(1, {_ROWS}) k",
    "CREATE TABLE older (id int PRIMARY KEY, n int)",
    "INSERT INTO older SELECT -k, k FROM generate_series(1, 20) k",
)


def test_a_partition_that_is_attached_meanwhile_begins_the_table_again(
    make_service: Callable[..., Service],
) -> None:
    block = '\n[[tables]]\nname = "public.parted"\ncolumns = ["*"]\n'
    service = make_service(block + MARKS, **_SLOW)
    service.sql(*_PARTED)
    service.sidecar.start_and_stream()
    await_true(lambda: count_rows(service) > 0, what="some rows are published")
    service.sql(_LEAF.format("born", 1000, 2000), "INSERT INTO parted VALUES (1500, 1)")
    await_true(lambda: count_rows(service) >= 2 * _ROWS // 3, what="more rows are published")
    service.sql("ALTER TABLE parted ATTACH PARTITION older FOR VALUES FROM (-100) TO (0)")
    await_true(lambda: service.sidecar.events("snapshot_completed"), what="it is complete")
    service.await_published()
    sent = _sent(service)
    assert sent.keys() >= {*range(-20, 0), *range(1, _ROWS + 1)}
    assert sent[1] == 2, "it was begun again once, for the partition that was attached"


def _sent(service: Service) -> Counter[int]:
    """Return how often each row came as `r`."""
    (seen,) = read_seen(service, Compared("parted"))
    return Counter(int(json.loads(event.key)["id"]) for event in seen if event.op == "r")
