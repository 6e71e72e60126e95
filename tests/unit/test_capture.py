"""Which table is captured how, and when two configurations publish alike."""

import pytest

from cdc_sidecar.config.model import Outbox, Table
from cdc_sidecar.events.capture import Capture
from tests.unit import shop


def _capture(*tables: Table, outboxes: tuple[Outbox, ...] = ()) -> Capture:
    return Capture("shop", tables, outboxes, ())


def test_an_exact_name_goes_before_a_glob_wherever_it_stands() -> None:
    glob, exact = shop.table("public.order*"), shop.table("public.orders", unkeyed=True)
    capture = _capture(glob, exact)
    assert capture.table("public.orders") is exact
    assert capture.table("public.order_lines") is glob
    assert capture.table("public.customers") is None


def test_a_glob_is_told_from_the_name_that_it_is() -> None:
    assert [shop.table(name).is_glob for name in ("a.b*", "a.b?", "a.[b]", "a.b")] == [
        True,
        True,
        True,
        False,
    ]


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
        Capture("shop", (shop.table(),), (), (), boundaries=True),
    ],
)
def test_whatever_changes_the_events_changes_the_fingerprint(changed: Capture) -> None:
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
