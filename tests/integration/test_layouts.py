"""The catalog describes a table as the wire does."""

import pytest

from cdc_sidecar.postgres.catalog import read_layout_facts, read_published_tables
from tests.integration.layouts import HEADER, ORDERS, TABLES, relations_of
from tests.integration.source import PUBLICATION, Source
from tests.unit import shop, wire


@pytest.mark.parametrize("kind", TABLES)
def test_the_catalog_describes_a_table_as_the_wire_does(source: Source, kind: str) -> None:
    create, row = TABLES[kind]
    source.run(create)
    source.stream()
    name = '"Größe"."Ord er"' if kind == "odd names" else "public.t"
    source.run(f"INSERT INTO {name} {row}")
    (sent,) = relations_of(source.frames())
    (described,) = [table for table in source.tables() if table.relation.oid == sent.oid]
    assert described.relation == sent
    assert described.facts == read_layout_facts(source.reader, sent)
    assert len(described.dimensions) == len(sent.columns)
    assert described.may_select


@pytest.mark.parametrize(
    "publication",
    [
        "FOR TABLE public.t (id, b)",
        "FOR TABLE public.t (g, id)",
        "FOR TABLE public.t WHERE (id > 0)",
    ],
)
def test_a_column_list_is_described_as_it_is_sent(source: Source, publication: str) -> None:
    source.run(
        "CREATE TABLE public.t (a text, id int PRIMARY KEY, b text,"
        " g int GENERATED ALWAYS AS (id * 2) STORED)"
    )
    source.stream(publication)
    source.run("INSERT INTO public.t (id) VALUES (1)")
    (sent,) = relations_of(source.frames())
    (described,) = source.tables()
    assert described.relation == sent


def test_a_partitioned_table_is_described_as_its_root(source: Source) -> None:
    source.run(
        "CREATE TABLE public.t (id int PRIMARY KEY, x text) PARTITION BY RANGE (id)",
        "CREATE TABLE public.t1 (x text, id int NOT NULL)",
        "ALTER TABLE public.t ATTACH PARTITION public.t1 FOR VALUES FROM (0) TO (9)",
    )
    source.stream("FOR TABLE public.t WITH (publish_via_partition_root)")
    source.run("INSERT INTO public.t VALUES (1, 'x')")
    relations = {relation.name: relation for relation in relations_of(source.frames())}
    (described,) = source.tables()
    assert described.relation == relations["t"]


def test_rows_of_a_partition_are_published_as_rows_of_the_root(source: Source) -> None:
    source.run(
        "CREATE TABLE public.t (id int PRIMARY KEY, x text) PARTITION BY RANGE (id)",
        "CREATE TABLE public.t1 (x text, gone int, id int NOT NULL)",
        "ALTER TABLE public.t1 DROP gone",
        "ALTER TABLE public.t ATTACH PARTITION public.t1 FOR VALUES FROM (0) TO (9)",
        "CREATE TABLE public.t2 PARTITION OF public.t FOR VALUES FROM (9) TO (99)",
    )
    source.stream("FOR TABLE public.t WITH (publish_via_partition_root)")
    source.run("INSERT INTO public.t VALUES (1, 'x')", "UPDATE public.t SET id = 10")
    published = source.publish(shop.table("public.t"))
    assert set(published.topics) == {"shop.public.t"}
    assert [value and value["op"] for value in published.values] == ["c", "d", None, "c"]
    assert published.values[-1]["after"] == {"id": 10, "x": "x"}


def test_declared_dimensions_are_told(source: Source) -> None:
    source.run("CREATE TABLE public.t (id int PRIMARY KEY, a int[], b int[][])")
    source.stream()
    (table,) = source.tables()
    assert table.dimensions == (0, 1, 2)


def test_only_tables_of_the_publication_are_described_sorted_by_name(source: Source) -> None:
    source.run(
        "CREATE TABLE public.b (id int PRIMARY KEY)",
        "CREATE TABLE public.a (id int PRIMARY KEY)",
        "CREATE TABLE public.other (id int PRIMARY KEY)",
    )
    source.stream("FOR TABLE public.b, public.a")
    assert [table.relation.name for table in source.tables()] == ["a", "b"]
    assert read_published_tables(source.reader, "nowhere") == ()
    assert PUBLICATION != "nowhere"


def test_the_frames_of_the_tests_are_those_of_the_wire(source: Source) -> None:
    source.run(ORDERS)
    source.stream()
    source.run("INSERT INTO public.t VALUES (1, 'a', NULL)", "DELETE FROM public.t")
    frames = source.frames()
    (relation,) = relations_of(frames)
    messages = [frame[HEADER:] for frame in frames]
    assert wire.relation(relation) in messages
    assert wire.insert(relation.oid, ["1", "a", None]) in messages
    assert wire.delete(relation.oid, key=["1", None, None]) in messages
