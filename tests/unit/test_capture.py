"""Which configuration a relation has, and why a relation is refused."""

import tomllib
from dataclasses import replace

import pytest

from cdc_sidecar.config.model import Table
from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.errors import LayoutRefused
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.catalog import TopicFacts
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.own_block import cure_of_table
from cdc_sidecar.events.registry.layouts import LayoutStore
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.events.relations import Relations
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.types import LayoutFacts, Lineage
from tests.unit import shop


def _capture(*tables: Table, outboxes: tuple[Outbox, ...] = ()) -> Capture:
    return Capture("shop", tables, outboxes, ())


def test_an_exact_name_takes_precedence_over_a_glob_in_any_order() -> None:
    glob, exact = shop.table("public.order*"), shop.table("public.orders", unkeyed=True)
    capture = _capture(glob, exact)
    assert capture.table("public.orders") is exact
    assert capture.table("public.order_lines") is glob
    assert capture.table("public.customers") is None


def test_a_glob_is_recognised_by_its_characters() -> None:
    assert [shop.table(name).is_glob for name in ("a.b*", "a.b?", "a.[b]", "a.b")] == [
        True,
        True,
        True,
        False,
    ]


def test_a_glob_does_not_match_what_it_excludes() -> None:
    capture = _capture(shop.table("public.*", exclude=["public.audit", "public.tmp_*"]))
    names = ("public.orders", "public.audit", "public.tmp_1", "public.audits")
    assert [capture.captures(name) for name in names] == [True, False, False, True]


def test_exclude_and_dropped_are_refused_where_they_mean_nothing() -> None:
    with pytest.raises(ValueError, match="exclude is only for a glob"):
        shop.table("public.orders", exclude=["public.x"])
    with pytest.raises(ValueError, match="dropped is only for one table"):
        shop.table("public.*", dropped=True)
    with pytest.raises(ValueError, match="column emial is optional, but neither listed nor"):
        shop.table("public.orders", optional=["emial"])


def test_the_hint_for_a_table_of_a_glob_is_a_block_that_says_what_the_glob_says() -> None:
    column = {"Odd name": {"mask": "hash"}, "status": {"as": "text"}}
    glob = shop.table("public.*", truncate="halt", column=column, exclude=["public.x"])
    hint = cure_of_table(glob, "public.orders", gone=True)
    block = tomllib.loads(hint[hint.index("[[tables]]") :])["tables"][0]
    assert block == {
        "name": "public.orders",
        "columns": ["*"],
        "truncate": "halt",
        "dropped": True,
        "column": column,
    }
    assert "dropped" not in cure_of_table(glob, "public.orders", gone=False)
    assert "dropped = true" in cure_of_table(shop.table(), "public.orders", gone=True)


def test_an_outbox_is_captured_and_is_no_topic_of_its_own() -> None:
    capture = _capture(shop.table("public.*"), outboxes=(shop.outbox(),))
    assert capture.captures("public.outbox")
    assert not capture.captures("other.outbox")
    assert capture.outbox("public.outbox") is not None


def test_tables_of_different_names_have_different_topics() -> None:
    capture = _capture(shop.table("*.*"))
    assert capture.collisions(["a.b", "a.c", "b.a", "a.b-c", "a.b_c", "a.b c", "a._x0020_"]) == []


@pytest.mark.parametrize(
    "changed",
    [
        Capture("other", (shop.table(),), (), ()),
        Capture("shop", (shop.table(tombstones=False),), (), ()),
        Capture("shop", (shop.table(), shop.table("a.b")), (), ()),
        Capture("shop", (shop.table(),), (shop.outbox(),), ()),
        Capture("shop", (shop.table(),), (), ("audit",)),
        Capture("shop", (shop.table(column={"id": {"rename": "x"}}),), (), ()),
        Capture("shop", (shop.table(),), (), (), transaction_metadata=True),
    ],
)
def test_each_change_of_the_events_changes_the_fingerprint(changed: Capture) -> None:
    capture = Capture("shop", (shop.table(),), (), ())
    assert capture.fingerprint == Capture("shop", (shop.table(),), (), ()).fingerprint
    assert changed.fingerprint != capture.fingerprint
    assert len(capture.fingerprint) == 16


def test_mistakes_are_those_of_the_table_or_of_the_outbox() -> None:
    keyless = shop.layout("orders", {"status": shop.TEXT})
    capture = _capture(shop.table(), outboxes=(shop.outbox(),))
    (mistake,) = capture.mistakes(keyless.relation, keyless.facts)
    assert "has no key" in mistake
    empty = shop.layout("outbox", {"id": shop.UUID}, key=("id",))
    assert len(capture.mistakes(empty.relation, empty.facts)) == 4
    assert capture.mistakes(shop.layout("x", {}).relation, keyless.facts) == []


class _Catalog:
    def layout_facts(self, _relation: Relation) -> LayoutFacts:
        return shop.ORDERS.facts

    def lineage(self, _oid: int) -> Lineage:
        return Lineage(None)

    def later_columns(self, _relation: Relation) -> frozenset[str]:
        return frozenset()

    def topic_facts(self, _name: str, *, parked: bool = False) -> TopicFacts:  # noqa: ARG002 - alike
        return TopicFacts(1, 1_000_000)


def _named(namespace: str, name: str) -> Relation:
    return replace(shop.ORDERS.relation, namespace=namespace, name=name)


def test_a_schema_with_a_dot_is_refused_because_two_tables_would_have_one_name() -> None:
    described = _named("sales.eu", "orders")
    for capture in (
        _capture(shop.table("sales.eu.orders")),
        _capture(outboxes=(shop.outbox(table="sales.eu.orders"),)),
    ):
        mistakes = capture.mistakes(described, shop.ORDERS.facts)
        assert "schema sales.eu has a dot" in mistakes[0]
    dotted = _named("sales", "eu.orders")
    assert _capture(shop.table("sales.eu.orders")).mistakes(dotted, shop.ORDERS.facts) == []
    assert _capture(shop.table("other.*")).mistakes(described, shop.ORDERS.facts) == []


def test_a_topic_name_longer_than_kafka_takes_is_refused() -> None:
    long = _named("s" * 63, "é" * 31)  # each é becomes seven characters
    (mistake,) = _capture(shop.table("*.*")).mistakes(long, shop.ORDERS.facts)
    assert "a name of 286 characters, but Kafka allows 249" in mistake
    fits = _named("s" * 63, "t" * 63)
    assert _capture(shop.table("*.*")).mistakes(fits, shop.ORDERS.facts) == []


def test_a_table_without_a_name_of_its_own_halts_in_mid_stream_too() -> None:
    relation = _named("sales.eu", "orders")
    capture = _capture(shop.table("sales.*"))
    relations = Relations(capture, Source("1", "shop", "shopdb"), SchemaLog(), _Catalog())
    relations.describe(relation)
    with pytest.raises(LayoutRefused, match=r"schema sales\.eu has a dot"):
        relations.open(relation.oid)


# --- keys that were re-created


def _stored(relation: Relation, *key: str) -> LayoutStore:
    layouts = SchemaLog().layouts
    layouts.store(relation, replace(shop.ORDERS.facts, key_columns=key))
    return layouts


_NOW = replace(shop.ORDERS.facts, key_columns=("status", "id"))


def test_a_key_in_another_order_is_refused_with_both_ways_to_continue() -> None:
    relation = shop.ORDERS.relation
    with pytest.raises(LayoutRefused, match=r"was \(id, status\) and is \(status, id\)") as refused:
        _capture(shop.table()).check_keys({relation: _NOW}, _stored(relation, "id", "status"))
    assert 'key = ["id", "status"] to keep' in refused.value.hint
    assert 'key = ["status", "id"] to change it' in refused.value.hint


@pytest.mark.parametrize(
    ("capture", "stored"),
    [
        (_capture(shop.table(key=["id", "status"])), ("id", "status")),
        (_capture(shop.table()), ("status", "id")),
        (_capture(shop.table()), ()),
        (_capture(shop.table("public.other")), ("id", "status")),
        (_capture(outboxes=(shop.outbox(table="public.orders"),)), ("id", "status")),
    ],
    ids=["configured", "the same", "unknown", "not captured", "outbox"],
)
def test_a_key_that_is_configured_or_the_same_is_no_mistake(
    capture: Capture, stored: tuple[str, ...]
) -> None:
    relation = shop.ORDERS.relation
    capture.check_keys({relation: _NOW}, _stored(relation, *stored))
    capture.check_keys({relation: _NOW}, SchemaLog().layouts)
