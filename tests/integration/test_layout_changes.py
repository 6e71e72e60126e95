"""DDL in the stream gives the next row its own schema."""

import pytest

from cdc_sidecar.postgres.pgoutput import ReplicaIdentity
from tests.integration.layouts import ORDERS, relations_of
from tests.integration.source import Source
from tests.unit import shop


@pytest.mark.parametrize(
    ("change", "row", "before", "after"),
    [
        (
            "ADD COLUMN y numeric(4,1) DEFAULT 5",
            "VALUES (2, 'b', 2, 2.5)",
            {"id": 1, "x": "a", "n": 1},
            {"id": 2, "x": "b", "n": 2, "y": "2.5"},
        ),
        ("DROP COLUMN x", "VALUES (2, 2)", {"id": 1, "x": "a", "n": 1}, {"id": 2, "n": 2}),
        (
            "RENAME COLUMN x TO label",
            "VALUES (2, 'b', 2)",
            {"id": 1, "x": "a", "n": 1},
            {"id": 2, "label": "b", "n": 2},
        ),
        (
            "ALTER COLUMN n TYPE numeric(6,2)",
            "VALUES (2, 'b', 2)",
            {"id": 1, "x": "a", "n": 1},
            {"id": 2, "x": "b", "n": "2.00"},
        ),
        (
            "ALTER COLUMN n TYPE numeric(6,2), DROP x, ADD x date",
            "VALUES (2, 2, '2024-02-29')",
            {"id": 1, "x": "a", "n": 1},
            {"id": 2, "n": "2.00", "x": "2024-02-29"},
        ),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_ddl_between_two_rows_gives_the_second_row_its_own_schema(
    source: Source,
    change: str,
    row: str,
    before: dict[str, object],
    after: dict[str, object],
    *,
    together: bool,
) -> None:
    source.run(ORDERS)
    source.stream()
    statements = [
        "INSERT INTO public.t VALUES (1, 'a', 1)",
        f"ALTER TABLE public.t {change}",
        f"INSERT INTO public.t {row}",
    ]
    (source.run_together if together else source.run)(*statements)
    session = source.session(shop.table("public.t"))
    published = session.publish(*source.frames())
    assert [value["after"] for value in published.values] == [before, after]
    versions = session.subjects.versions("shop.public.t-value")
    framed = [shop.schema_id(record.value) for record in published.records]
    assert framed == [version.id for version in versions]
    assert [version.version for version in versions] == [1, 2]


def test_ddl_that_changes_no_row_changes_no_schema(source: Source) -> None:
    source.run(ORDERS)
    source.stream()
    source.run(
        "INSERT INTO public.t VALUES (1, 'a', 1)",
        "CREATE INDEX ON public.t (n)",
        "ALTER TABLE public.t ALTER x SET NOT NULL, ALTER n SET DEFAULT 5",
        "INSERT INTO public.t VALUES (2, 'b', 2)",
    )
    session = source.session(shop.table("public.t"))
    assert len(session.publish(*source.frames()).values) == 2
    assert len(session.subjects.versions("shop.public.t-value")) == 1
    assert len(session.asked) == 1


def test_a_new_label_of_an_enum_changes_no_schema(source: Source) -> None:
    source.run(
        "CREATE TYPE public.mood AS ENUM ('sad')",
        "CREATE TABLE public.t (id int PRIMARY KEY, m public.mood)",
    )
    source.stream()
    source.run(
        "INSERT INTO public.t VALUES (1, 'sad')",
        "ALTER TYPE public.mood ADD VALUE 'ok'",
        "INSERT INTO public.t VALUES (2, 'ok')",
        "ALTER TYPE public.mood RENAME VALUE 'ok' TO 'fine'",
        "INSERT INTO public.t VALUES (3, 'fine')",
    )
    session = source.session(shop.table("public.t"))
    values = session.publish(*source.frames()).values
    assert [value["after"]["m"] for value in values] == ["sad", "ok", "fine"]
    assert len(session.subjects.versions("shop.public.t-value")) == 1


def test_a_table_made_anew_under_its_name_has_facts_of_its_own(source: Source) -> None:
    source.run(ORDERS)
    source.stream()
    session = source.session(shop.table("public.t"))
    source.run("INSERT INTO public.t VALUES (1, 'a', 1)")
    session.publish(*source.frames())
    source.run(
        "DROP TABLE public.t",
        "CREATE TABLE public.t (id int, x text, n int, PRIMARY KEY (id, n))",
        "INSERT INTO public.t VALUES (1, 'a', 1)",
    )
    published = session.publish(*source.frames())
    assert published.keys == [{"id": 1, "n": 1}]
    assert len(session.asked) == 2


def test_an_identity_that_was_changed_is_followed_by_the_next_row(source: Source) -> None:
    source.run(ORDERS)
    source.stream()
    source.run(
        "INSERT INTO public.t VALUES (1, 'a', 1)",
        "ALTER TABLE public.t REPLICA IDENTITY FULL",
        "UPDATE public.t SET n = 2",
    )
    frames = source.frames()
    assert [relation.replica_identity for relation in relations_of(frames)] == [
        ReplicaIdentity.DEFAULT,
        ReplicaIdentity.FULL,
    ]
    created, updated = source.session(shop.table("public.t")).publish(*frames).values
    assert created["before"] is None
    assert updated["before"] == {"id": 1, "x": "a", "n": 1}
