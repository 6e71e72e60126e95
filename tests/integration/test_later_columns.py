"""A column is left out of an older layout only if it was not there, under no other name."""

import random

import pytest

from cdc_sidecar.postgres.catalog import read_later_columns
from tests.effort import chance
from tests.integration.source import Source

_STEPS = 6


def _change(source: Source, draws: random.Random, names: list[str], number: int) -> bool:
    """Add, rename or drop a column; return whether a name of a column was lost."""
    name = draws.choice(names)
    match draws.choice(("add", "add", "rename", "drop")):
        case "rename":
            source.run(f"ALTER TABLE public.t RENAME {name} TO r{number}")
            names[names.index(name)] = f"r{number}"
            return True
        case "drop" if len(names) > 1:
            source.run(f"ALTER TABLE public.t DROP {name}")
            names.remove(name)
            return True
        case _:
            source.run(f"ALTER TABLE public.t ADD a{number} int")
            names.append(f"a{number}")
            return False


@pytest.mark.parametrize("seed", range(12))
def test_no_renamed_column_counts_as_added_later(source: Source, seed: int) -> None:
    draws, names = chance(seed), ["c0", "c1", "c2"]
    source.run("CREATE TABLE public.t (id int PRIMARY KEY, c0 int, c1 int, c2 int)")
    source.stream()
    (before,) = source.tables()
    lost = [_change(source, draws, names, number) for number in range(_STEPS)]
    rows = source.reader.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = %s AND attnum > 4"
        " AND NOT attisdropped",
        (before.relation.oid,),
    ).fetchall()
    later = read_later_columns(source.reader, before.relation)
    assert later <= {name for (name,) in rows}
    if not any(lost):
        assert later == {name for (name,) in rows}


@pytest.mark.parametrize(
    ("changes", "later"),
    [
        (["ADD note text"], {"note"}),
        (["RENAME b TO c"], set()),
        (["DROP a", "ADD note text"], {"note"}),
        (["RENAME a TO c", "ADD note text"], {"note"}),
        (["DROP b", "ADD note text"], set()),
    ],
    ids=["added", "renamed", "one before it dropped", "one before it renamed", "the last dropped"],
)
def test_what_the_catalog_proves(source: Source, changes: list[str], later: set[str]) -> None:
    source.run("CREATE TABLE public.t (id int PRIMARY KEY, a int, b int)")
    source.stream()
    (before,) = source.tables()
    source.run(*(f"ALTER TABLE public.t {change}" for change in changes))
    assert read_later_columns(source.reader, before.relation) == later
    source.run("DROP TABLE public.t")
    assert read_later_columns(source.reader, before.relation) == set()
