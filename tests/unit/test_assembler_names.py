"""Rows under another name than the configured one: published, refused, or left out on purpose."""

import pytest

from cdc_sidecar.config.model import Table
from cdc_sidecar.errors import LayoutRefused
from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.events.registry.records import KnownTable
from cdc_sidecar.postgres.types import Lineage, Membership
from tests.unit import shop, wire
from tests.unit.orders import DESCRIBE, INSERT, OID, ROW, TOPIC
from tests.unit.shop import ORDER_ROW, ORDERS, Shop, layout

_OTHER = layout("moved", dict(zip(ROW, ORDERS.facts.types, strict=True)), key=("id",))
_DESCRIBE_OTHER = wire.relation(_OTHER.relation)
_ALTER = "a rename, SET SCHEMA, or a changed publication"


def _session(
    lineage: Lineage,
    *tables: Table,
    ignored: tuple[str, ...] = (),
    schemas: SchemaLog | None = None,
) -> Shop:
    session = Shop(
        ORDERS, _OTHER, tables=tables or [shop.table()], ignored=ignored, schemas=schemas
    )
    session.lineages[OID] = lineage
    return session


def _known(name: str) -> SchemaLog:
    """Return the log of a service that has captured the relation under a name."""
    schemas = SchemaLog()
    membership = Membership("cdc", "1/2", ("table 3",), "", {})
    schemas.tables.load(KnownTable(OID, name, "digest", ("id",), membership))
    return schemas


@pytest.mark.parametrize(
    "lineage",
    [
        Lineage("public.orders"),
        Lineage("public.moved", ancestors=("public.middle", "public.orders")),
        Lineage(None, ancestors=("public.orders",)),
    ],
    ids=["renamed", "partition", "lost"],
)
def test_rows_of_a_captured_table_under_another_name_follow_its_configuration(
    lineage: Lineage,
) -> None:
    session = _session(lineage)
    published = session.transaction(_DESCRIBE_OTHER, INSERT, wire.truncate(OID))
    assert set(published.topics) == {TOPIC}
    assert next(value["source"]["table"] for value in published.values) == "orders"


def test_a_former_name_that_is_configured_needs_no_proof() -> None:
    session = _session(Lineage(None), shop.table(former_names=["public.moved"]))
    assert session.transaction(_DESCRIBE_OTHER, INSERT).topics == [TOPIC]


def test_a_former_name_of_a_glob_keeps_its_own_topic() -> None:
    entry = shop.table("public.ord*", former_names=["public.moved"])
    published = _session(Lineage(None), entry).transaction(_DESCRIBE_OTHER, INSERT)
    assert published.topics == ["shop.public.moved"]


@pytest.mark.parametrize(
    ("lineage", "schemas"),
    [
        (Lineage("public.moved"), _known("public.orders")),
        (Lineage(None), _known("public.orders")),
        (Lineage("public.moved", partitions=("public.orders",)), None),
    ],
    ids=["moved", "dropped", "root"],
)
def test_rows_that_belong_to_no_configured_name_any_more_halt_before_the_first(
    lineage: Lineage, schemas: SchemaLog | None
) -> None:
    with pytest.raises(LayoutRefused) as refused:
        _session(lineage, schemas=schemas).transaction(_DESCRIBE_OTHER, INSERT)
    assert refused.value.fact == "rows of captured table public.orders have the name public.moved"
    assert _ALTER in refused.value.cause
    for setting in ("former_names", "ignored_tables"):
        assert f'{setting} = ["public.moved"]' in refused.value.hint
    session = _session(lineage, schemas=schemas, ignored=("public.moved",))
    published = session.transaction(_DESCRIBE_OTHER, INSERT)
    assert published.counts == {Count(Counted.IGNORED, "public.moved"): 1}


def test_a_rename_halts_at_the_first_row_under_the_new_name_and_not_before() -> None:
    session = _session(Lineage("public.moved"))
    before = session.transaction(DESCRIBE, INSERT, _DESCRIBE_OTHER)
    assert before.topics == [TOPIC]
    with pytest.raises(LayoutRefused):
        session.transaction(wire.insert(OID, ORDER_ROW), final_lsn=6000)


def test_a_table_that_was_captured_under_a_name_that_is_not_configured_now_is_ignored() -> None:
    session = _session(Lineage("public.moved"), schemas=_known("public.other"))
    assert session.transaction(_DESCRIBE_OTHER, INSERT).records == []
