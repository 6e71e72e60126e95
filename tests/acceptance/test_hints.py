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
    codes: tuple[str, ...]


_CASES = {
    "tables that are not sent": Case(
        (
            _ITEMS,
            'CREATE TABLE "Odd name" (id int PRIMARY KEY)',
            "CREATE VIEW seen AS SELECT * FROM items",
            "CREATE UNLOGGED TABLE quick (id int PRIMARY KEY)",
            *_PARTS,
            "CREATE TABLE logs (line text)",
            _PUBLISHED,
        ),
        "".join(map(_table, ("Itmes", "Odd name", "seen", "quick", "events", "logs"))),
        ("CDC-208", "CDC-110"),
    ),
    "an unlogged table among all, and a type without a form in one table of a glob": Case(
        (
            "CREATE UNLOGGED TABLE quick (id int PRIMARY KEY)",
            "CREATE TYPE pair AS (x int)",
            "CREATE TABLE items (id int PRIMARY KEY, p pair)",
            "CREATE TABLE others (id int PRIMARY KEY)",
            "CREATE PUBLICATION cdc FOR ALL TABLES",
        ),
        _table("quick") + _table("*", "tombstones = false\n"),
        ("CDC-208", "CDC-110"),
    ),
    "a partition of a published table": Case(
        (*_PARTS, "CREATE PUBLICATION cdc FOR TABLE events WITH (publish_via_partition_root)"),
        _table("part"),
        ("CDC-208",),
    ),
    "a partitioned member, operations that are left out, keys that are not used": Case(
        (
            *_PARTS,
            _ITEMS,
            "ALTER TABLE items REPLICA IDENTITY NOTHING",
            "CREATE TABLE coded (code text NOT NULL UNIQUE)",
            "CREATE PUBLICATION cdc FOR TABLE events, items, coded WITH (publish = 'insert')",
        ),
        "".join(map(_table, ("events", "items", "coded"))),
        ("CDC-208", "CDC-110"),
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
    "types without a form, and a logical type that is none": Case(
        (
            "CREATE TYPE pair AS (x int)",
            "CREATE TABLE items (id int PRIMARY KEY, p pair, grid int[][], label text)",
            _PUBLISHED,
        ),
        _table("items", "[tables.column.label]\nlogical = false\n"),
        ("CDC-110",),
    ),
    "columns that are misspelt or not sent": Case(
        (
            _ITEMS,
            "CREATE TABLE listed (id int PRIMARY KEY, n int, label text)",
            "CREATE TABLE made (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id) STORED)",
            "CREATE PUBLICATION cdc FOR TABLE items, listed (id, n), made",
        ),
        _table("listed", columns='["id", "label"]')
        + _table("made", columns='["id", "g"]')
        + _table("items", columns='["id", "labl"]'),
        ("CDC-110",),
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
    assert set(codes) <= set(seen) <= {*codes, "CDC-214"}
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
    role = f"Role-{words['dbname']}"
    dsn = make_conninfo("", **{**words, "user": role})
    service = make_service(MARKS + _table("items"), **{f'dsn = "{database}"': f'dsn = "{dsn}"'})
    service.sql(_ITEMS, _PUBLISHED, f'CREATE ROLE "{role}" LOGIN')
    try:
        _follow_until_it_runs(service, ("CDC-209",))
    finally:
        service.sidecar.close()
        service.sql(f'DROP OWNED BY "{role}"', f'DROP ROLE "{role}"')
