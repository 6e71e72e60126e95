"""The hint of every fault works when it is followed to the letter: the sidecar runs afterwards."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.acceptance.conftest import MARKS, Service
from tests.acceptance.following import follow
from tests.acceptance.test_check import faults_of

_ROUNDS = 4
"""A hint may lead to a fault that could not be seen before."""
_ITEMS = "CREATE TABLE items (id int PRIMARY KEY, n int, label text)"
_PUBLISHED = "CREATE PUBLICATION cdc FOR TABLE items"
_PARTS = (
    "CREATE TABLE events (id int PRIMARY KEY, n int) PARTITION BY RANGE (id)",
    "CREATE TABLE part PARTITION OF events FOR VALUES FROM (0) TO (9)",
)


def _table(name: str, more: str = "", columns: str = '["*"]') -> str:
    return f'\n[[tables]]\nname = "public.{name}"\ncolumns = {columns}\n{more}'


@dataclass(frozen=True)
class Case:
    """A database and a configuration that do not fit."""

    sql: tuple[str, ...]
    tables: str
    codes: tuple[str, ...]  # in the order in which they are seen


_CASES = {
    "a name that needs quotes": Case(
        (_ITEMS, 'CREATE TABLE "Odd name" (id int PRIMARY KEY)', _PUBLISHED),
        _table("Odd name"),
        ("CDC-208",),
    ),
    "a misspelt name": Case((_ITEMS, _PUBLISHED), _table("Itmes"), ("CDC-208",)),
    "a view": Case(
        (_ITEMS, "CREATE VIEW seen AS SELECT * FROM items", _PUBLISHED),
        _table("items") + _table("seen"),
        ("CDC-208",),
    ),
    "an unlogged table": Case(
        (_ITEMS, "CREATE UNLOGGED TABLE quick (id int PRIMARY KEY)", _PUBLISHED),
        _table("quick"),
        ("CDC-208",),
    ),
    "an unlogged table, and every table is published": Case(
        (
            "CREATE UNLOGGED TABLE quick (id int PRIMARY KEY)",
            "CREATE PUBLICATION cdc FOR ALL TABLES",
        ),
        _table("quick"),
        ("CDC-208",),
    ),
    "a partition of a published table": Case(
        (*_PARTS, "CREATE PUBLICATION cdc FOR TABLE events WITH (publish_via_partition_root)"),
        _table("part"),
        ("CDC-208",),
    ),
    "a member whose partitions are published": Case(
        (*_PARTS, "CREATE PUBLICATION cdc FOR TABLE events"), _table("events"), ("CDC-208",)
    ),
    "a partitioned table that is no member": Case(
        (_ITEMS, *_PARTS, _PUBLISHED), _table("events"), ("CDC-208",)
    ),
    "a table without a key that is no member": Case(
        (_ITEMS, "CREATE TABLE logs (line text)", _PUBLISHED),
        _table("logs"),
        ("CDC-208", "CDC-110"),
    ),
    "a primary key that is not the identity": Case(
        (_ITEMS, "ALTER TABLE items REPLICA IDENTITY NOTHING", _PUBLISHED),
        _table("items"),
        ("CDC-110", "CDC-214"),
    ),
    "a unique index and no primary key": Case(
        ("CREATE TABLE items (code text NOT NULL UNIQUE)", _PUBLISHED),
        _table("items"),
        ("CDC-110", "CDC-214"),
    ),
    "identity FULL and a unique index": Case(
        (
            "CREATE TABLE items (code text NOT NULL UNIQUE)",
            "ALTER TABLE items REPLICA IDENTITY FULL",
            _PUBLISHED,
        ),
        _table("items"),
        ("CDC-110",),
    ),
    "a type without a form": Case(
        (
            "CREATE TYPE pair AS (x int)",
            "CREATE TABLE items (id int PRIMARY KEY, p pair)",
            _PUBLISHED,
        ),
        _table("items"),
        ("CDC-110",),
    ),
    "a type without a form, in a table of a glob": Case(
        (
            "CREATE TYPE pair AS (x int)",
            "CREATE TABLE items (id int PRIMARY KEY, p pair)",
            "CREATE TABLE others (id int PRIMARY KEY)",
            "CREATE PUBLICATION cdc FOR ALL TABLES",
        ),
        _table("*", "tombstones = false\n"),
        ("CDC-110",),
    ),
    "logical = false where as = text cannot help": Case(
        (_ITEMS, _PUBLISHED),
        _table("items", "[tables.column.label]\nlogical = false\n"),
        ("CDC-110",),
    ),
    "an array of two dimensions": Case(
        ("CREATE TABLE items (id int PRIMARY KEY, grid int[][])", _PUBLISHED),
        _table("items"),
        ("CDC-110",),
    ),
    "a misspelt column": Case(
        (_ITEMS, _PUBLISHED), _table("items", columns='["id", "labl"]'), ("CDC-110",)
    ),
    "a column that the publication leaves out": Case(
        (_ITEMS, "CREATE PUBLICATION cdc FOR TABLE items (id, n)"),
        _table("items", columns='["id", "label"]'),
        ("CDC-110",),
    ),
    "a generated column that is not sent": Case(
        (
            "CREATE TABLE items (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id) STORED)",
            _PUBLISHED,
        ),
        _table("items", columns='["id", "g"]'),
        ("CDC-110",),
    ),
    "operations that are left out": Case(
        (_ITEMS, f"{_PUBLISHED} WITH (publish = 'insert')"), _table("items"), ("CDC-208",)
    ),
}


def _follow_until_it_runs(service: Service, codes: tuple[str, ...]) -> None:
    seen: list[str] = []
    for _ in range(_ROUNDS):
        faults = faults_of(service)
        if not faults:
            break
        seen += [fault["code"] for fault in faults]
        follow(service, faults[0])
    assert tuple(dict.fromkeys(seen)) == codes
    service.sidecar.start_and_stream()
    service.await_published()


@pytest.mark.parametrize("case", _CASES.values(), ids=_CASES)
def test_after_the_hint_the_sidecar_runs(make_service: Callable[..., Service], case: Case) -> None:
    service = make_service(MARKS + case.tables)
    service.sql(*case.sql)
    _follow_until_it_runs(service, case.codes)


def test_grants_name_the_role_and_the_role_may_replicate_afterwards(
    make_service: Callable[..., Service], database: str
) -> None:
    words = conninfo_to_dict(database)
    role = f"Role {words['dbname']}"
    quoted = make_conninfo("", **{**words, "user": role}).replace("\\", "\\\\")
    service = make_service(MARKS + _table("items"), **{f'dsn = "{database}"': f"dsn = '{quoted}'"})
    service.sql(_ITEMS, _PUBLISHED, f'CREATE ROLE "{role}" LOGIN')
    try:
        _follow_until_it_runs(service, ("CDC-209",))
    finally:
        service.sidecar.close()
        service.sql(f'DROP OWNED BY "{role}"', f'DROP ROLE "{role}"')
