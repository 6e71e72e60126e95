"""Consumers read exactly the values that were inserted. Postgres itself is the oracle."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cdc_sidecar.errors import Unrepresentable
from tests.integration.cases import FAMILIES, Case
from tests.integration.source import Source
from tests.unit import shop

_VALUES = 240  # in each transaction that Hypothesis draws; many more would exceed its buffer
_TRANSACTIONS = 8  # that Hypothesis draws for each table
_PREPARE = """
CREATE EXTENSION citext; CREATE EXTENSION ltree;
CREATE TYPE mood AS ENUM ('sad', 'o''k', 'très "bien", oui', 'NULL');
CREATE DOMAIN price AS numeric(10,2) CHECK (VALUE > -100000000);
CREATE DOMAIN net AS price; CREATE DOMAIN prices AS price[];
"""


@pytest.fixture
def source(source: Source) -> Source:
    """Return a database with the types of the tests and without a publication."""
    source.run(_PREPARE)
    return source


class Oracle:
    """One table with a column for each case, read from Postgres and from the events."""

    def __init__(self, source: Source, cases: list[Case]) -> None:
        """Create the table and stream it."""
        self._source = source
        self._cases = cases
        columns = ", ".join(f"c{place} {case.type}" for place, case in enumerate(cases))
        source.run(f"CREATE TABLE public.t (id bigserial PRIMARY KEY, {columns})")
        source.stream()

    def check(self, rows: Sequence[tuple[str | None, ...]]) -> None:
        """Insert rows of inputs; compare each published value with Postgres' own."""
        names = ", ".join(f"c{place}" for place in range(len(self._cases)))
        written = ", ".join(case.write or f"%s::{case.type}" for case in self._cases)
        self._source.run_many(f"INSERT INTO public.t ({names}) VALUES ({written})", rows)
        events = [value["after"] for value in self._source.publish(shop.table("public.t")).values]
        shown = self._shown(len(rows))
        assert len(events) == len(shown) == len(rows)
        for event, (identity, *values) in zip(events, shown, strict=True):
            assert event["id"] == identity
            for place, (case, value) in enumerate(zip(self._cases, values, strict=True)):
                expected = None if value is None else case.expect(value)
                assert repr(event[f"c{place}"]) == repr(expected), case.type

    def _shown(self, count: int) -> list[tuple[Any, ...]]:
        oracles = ", ".join(
            case.oracle.format(f"c{place}") for place, case in enumerate(self._cases)
        )
        rows = self._source.select(
            f"SELECT id, {oracles} FROM public.t ORDER BY id DESC LIMIT {count}"
        )
        return rows[::-1]


def _edge_rows(cases: list[Case]) -> list[tuple[str | None, ...]]:
    """Return rows that contain every edge once, and one row of NULLs."""
    return [*zip_longest(*(case.edges for case in cases)), (None,) * len(cases)]


@pytest.mark.parametrize("family", FAMILIES)
def test_values_are_published_as_postgres_shows_them(source: Source, family: str) -> None:
    cases = [case for case in FAMILIES[family] if case.since <= source.major]
    oracle = Oracle(source, cases)
    oracle.check(_edge_rows(cases))
    row = st.tuples(*(st.none() | case.inputs for case in cases))
    count = _VALUES // len(cases)

    @settings(
        max_examples=_TRANSACTIONS,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # an example has many values: shrinking it takes minutes
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(row, min_size=count, max_size=count))
    def check(rows: list[tuple[str | None, ...]]) -> None:
        oracle.check(rows)

    check()


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("numeric(10,2)", "NaN", "NaN or an infinity"),
        ("numeric(10,2)[]", "{1,NaN}", "NaN or an infinity"),
        ("timestamp", "294276-12-31 23:59:59", "years 294247 to 294276"),
        ("timestamptz", "294276-12-31 23:59:59+00", "years 294247 to 294276"),
        ("timestamp", "294247-01-10 04:00:54.775807", "years 294247 to 294276"),
        ("int[]", "{{1,2},{3,4}}", "more than one dimension"),
        ("int[]", "[0:1]={1,2}", "bounds do not begin at 1"),
        ("text[][]", "[2:2][3:3]={{x}}", "bounds do not begin at 1"),
    ],
)
def test_a_value_without_an_exact_form_is_refused_by_column_and_never_shown(
    source: Source, kind: str, value: str, reason: str
) -> None:
    source.run(f"CREATE TABLE public.t (id int PRIMARY KEY, secret text, odd {kind})")
    source.stream()
    source.run(f"INSERT INTO public.t VALUES (4711, 'hunter2', '{value}')")
    with pytest.raises(Unrepresentable, match=reason) as refused:
        source.publish(shop.table("public.t"))
    assert "in column odd" in refused.value.fact
    assert "table public.t, LSN " in refused.value.where
    assert "4711" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_xml_is_published_as_its_text(source: Source) -> None:
    source.run("CREATE TABLE public.t (id int PRIMARY KEY, x xml)")
    source.stream()
    try:
        source.run("INSERT INTO public.t VALUES (1, '<a b=\"é\">&amp;</a>')")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this Postgres was built without libxml")
    (value,) = source.publish(shop.table("public.t")).values
    assert value["after"]["x"] == '<a b="é">&amp;</a>'


def test_what_is_refused_can_be_sent_as_text(source: Source) -> None:
    source.run("CREATE TABLE public.t (id int PRIMARY KEY, odd int[], n numeric(4,1))")
    source.stream()
    source.run("INSERT INTO public.t VALUES (1, '{{1,2},{3,4}}', 'NaN')")
    as_text = {"odd": {"as": "text"}, "n": {"as": "text"}}
    (value,) = source.publish(shop.table("public.t", column=as_text)).values
    assert value["after"] == {"id": 1, "odd": "{{1,2},{3,4}}", "n": "NaN"}
