"""The facts of a layout are those that the catalog holds: its key and its types."""

import pytest

from cdc_sidecar.postgres.catalog import read_layout_facts
from cdc_sidecar.postgres.types import TypeFacts, TypeKind
from tests.integration.layouts import TABLES
from tests.integration.source import Source


def _key(source: Source) -> tuple[str, ...]:
    (table,) = source.tables()
    return table.facts.key_columns


@pytest.mark.parametrize(
    ("create", "key"),
    [
        ("CREATE TABLE public.t (b int, a int, PRIMARY KEY (a, b) INCLUDE (c), c int)", ("a", "b")),
        (TABLES["identity index"][0], ("b", "a")),
        (TABLES["full identity"][0], ("id",)),
        (TABLES["no identity"][0], ()),
        (TABLES["no key"][0], ()),
        (TABLES["deferrable key"][0], ()),
        ("CREATE TABLE public.t (a int UNIQUE NOT NULL)", ()),
    ],
)
def test_the_key_is_that_of_the_replica_identity_in_its_order(
    source: Source, create: str, key: tuple[str, ...]
) -> None:
    source.run(create)
    source.stream()
    assert _key(source) == key


def _facts_of(source: Source, column: str) -> TypeFacts:
    (table,) = source.tables()
    names = [described.name for described in table.relation.columns]
    facts = table.facts.types[names.index(column)]
    assert facts is not None
    return facts


def test_types_are_resolved_through_domains_and_arrays_to_their_base(source: Source) -> None:
    source.run(TABLES["user-defined types"][0])
    source.stream()
    lists = _facts_of(source, "ls")
    chain = []
    facts: TypeFacts | None = lists
    while facts:
        chain.append((facts.kind, facts.name))
        facts = facts.base
    assert chain == [
        (TypeKind.DOMAIN, "public.lists"),
        (TypeKind.DOMAIN, "public.prices"),
        (TypeKind.ARRAY, "public.price[]"),
        (TypeKind.DOMAIN, "public.price"),
        (TypeKind.BASE, "numeric(10,2)"),
    ]
    assert _facts_of(source, "m").kind is TypeKind.ENUM
    moods = _facts_of(source, "ms")
    assert (moods.kind, moods.base and moods.base.kind) == (TypeKind.ARRAY, TypeKind.ENUM)


def test_types_are_told_apart_that_only_look_like_arrays(source: Source) -> None:
    source.run(
        "CREATE TYPE public.pair AS (a int, b text)",
        "CREATE TABLE public.t (id int PRIMARY KEY, v int2vector, n name, p point, b box[],"
        " r int4range, m int4multirange, c public.pair, cs public.pair[])",
    )
    source.stream()
    kinds = {
        name: _facts_of(source, name).kind for name in ("v", "n", "p", "b", "r", "m", "c", "cs")
    }
    assert kinds == {
        "v": TypeKind.BASE,
        "n": TypeKind.BASE,
        "p": TypeKind.BASE,
        "b": TypeKind.ARRAY,
        "r": TypeKind.RANGE,
        "m": TypeKind.MULTIRANGE,
        "c": TypeKind.COMPOSITE,
        "cs": TypeKind.ARRAY,
    }
    boxes = _facts_of(source, "b").base
    assert boxes is not None
    assert boxes.delimiter == ";"


def test_a_type_that_is_gone_is_none_and_the_others_are_known(source: Source) -> None:
    source.run(TABLES["user-defined types"][0])
    source.stream()
    (table,) = source.tables()
    source.run("ALTER TABLE public.t DROP m, DROP ms", "DROP TYPE public.mood")
    facts = read_layout_facts(source.reader, table.relation)
    assert [known is None for known in facts.types] == [False, True, True, False, False, False]


def test_the_key_of_an_older_layout_is_its_one_flagged_column_or_unknown(source: Source) -> None:
    source.run("CREATE TABLE public.t (a int PRIMARY KEY, b int NOT NULL, c int NOT NULL)")
    source.stream()
    (one,) = source.tables()
    source.run("ALTER TABLE public.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (c, b)")
    (two,) = source.tables()
    assert read_layout_facts(source.reader, one.relation).key_columns == ("a",)
    assert read_layout_facts(source.reader, two.relation).key_columns == ("c", "b")
    source.run("ALTER TABLE public.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (a)")
    assert read_layout_facts(source.reader, two.relation).key_columns == ()
