"""The built-in registry numbers versions by content, and is restored from the schemas topic."""

import json
from dataclasses import replace

import pytest

from cdc_sidecar.errors import SchemaIdClash, SchemasUnreadable
from cdc_sidecar.events.registry import builtin, records
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.events.registry.records import SchemaVersion
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.events.schema import SchemaId, schema_id
from cdc_sidecar.postgres.pgoutput import RelationColumn, ReplicaIdentity
from cdc_sidecar.postgres.types import LayoutFacts, TypeFacts, TypeKind
from tests.unit import shop

_NUMBER_LIST = TypeFacts(
    16500,
    -1,
    "public.prices",
    "prices",
    TypeKind.DOMAIN,
    base=TypeFacts(1231, 655366, "numeric(10,2)[]", "_numeric", TypeKind.ARRAY, base=shop.TOTAL),
)
_FACTS = LayoutFacts(("id", "line"), (shop.BIGINT, None, _NUMBER_LIST), 0)


def _reloaded(*drained: tuple[bytes, bytes]) -> SchemaLog:
    schemas = SchemaLog()
    for key, value in drained:
        schemas.load(key, value)
    return schemas


def test_a_schema_is_registered_once_and_keeps_its_id() -> None:
    schemas = SchemaLog()
    first = schemas.registry.register("a-value", '"string"')
    assert first == schema_id('"string"')
    assert schemas.registry.register("a-value", '"string"') == first
    assert len(schemas.drain()) == 1
    assert schemas.subjects.versions("a-value") == [SchemaVersion("a-value", 1, first, '"string"')]


def test_versions_count_up_within_a_subject_and_an_old_schema_is_no_new_version() -> None:
    schemas = SchemaLog()
    for schema in ('"string"', '"bytes"', '"string"', '"long"'):
        schemas.registry.register("a-value", schema)
    schemas.registry.register("b-value", '"long"')
    spelled = [(v.version, v.schema) for v in schemas.subjects.versions("a-value")]
    assert spelled == [(1, '"string"'), (2, '"bytes"'), (3, '"long"')]
    assert [v.version for v in schemas.subjects.versions("b-value")] == [1]
    assert schemas.subjects.names() == ["a-value", "b-value"]
    used = [version.subject for version in schemas.subjects.uses(schema_id('"long"'))]
    assert used == ["a-value", "b-value"]


def test_an_unknown_subject_id_or_layout_is_not_an_error() -> None:
    schemas = SchemaLog()
    assert schemas.subjects.versions("a-value") == []
    assert schemas.subjects.schema(7) is None
    assert schemas.subjects.uses(7) == []
    assert schemas.layouts.facts(shop.ORDERS.relation) is None


def test_records_are_drained_once() -> None:
    schemas = SchemaLog()
    schemas.registry.register("a-value", '"string"')
    schemas.layouts.store(shop.ORDERS.relation, shop.ORDERS.facts)
    drained = schemas.drain()
    assert [key.partition(b"/")[0] for key, _ in drained] == [b"a-value", b"layout"]
    assert schemas.drain() == []


def test_the_record_of_a_version_is_what_its_documentation_says() -> None:
    schemas = SchemaLog()
    schemas.registry.register("shop.public.orders-key", '"é"')
    ((key, value),) = schemas.drain()
    assert key == b"shop.public.orders-key/1"
    assert json.loads(value) == {
        "v": 1,
        "subject": "shop.public.orders-key",
        "version": 1,
        "id": schema_id('"é"'),
        "schemaType": "AVRO",
        "schema": '"é"',
    }


def test_own_records_bring_back_every_version_and_every_layout() -> None:
    schemas = SchemaLog()
    for schema in ('"string"', '"bytes"'):
        schemas.registry.register("a/b-value", schema)
    schemas.layouts.store(shop.ORDERS.relation, _FACTS)
    schemas.registry.register("c-value", '"long"')
    restored = _reloaded(*schemas.drain())
    assert restored.subjects.names() == schemas.subjects.names()
    for name in schemas.subjects.names():
        assert restored.subjects.versions(name) == schemas.subjects.versions(name)
    assert restored.layouts.facts(shop.ORDERS.relation) == _FACTS
    assert restored.subjects.schema(schema_id('"bytes"')) == '"bytes"'
    assert restored.drain() == []


def test_a_restored_registry_continues_where_it_was() -> None:
    schemas = SchemaLog()
    schemas.registry.register("a-value", '"string"')
    restored = _reloaded(*schemas.drain())
    restored.registry.register("a-value", '"string"')
    assert restored.drain() == []
    restored.registry.register("a-value", '"bytes"')
    assert [key for key, _ in restored.drain()] == [b"a-value/2"]


def test_a_record_read_twice_counts_once() -> None:
    schemas = SchemaLog()
    schemas.registry.register("a-value", '"string"')
    (record,) = schemas.drain()
    assert len(_reloaded(record, record).subjects.versions("a-value")) == 1


@pytest.mark.parametrize("load", [False, True])
def test_two_schemas_with_one_id_halt(monkeypatch: pytest.MonkeyPatch, *, load: bool) -> None:
    schemas, other = SchemaLog(), SchemaLog()
    other.registry.register("b-value", '"bytes"')
    for module in (builtin, records):
        monkeypatch.setattr(module, "schema_id", lambda _schema: SchemaId(5))
    schemas.registry.register("a-value", '"string"')
    with pytest.raises(SchemaIdClash, match="id 5 stands for two schemas, one of subject b-value"):
        schemas.load(*other.drain()[0]) if load else schemas.registry.register("b-value", '"bytes"')


def test_a_record_of_an_unknown_version_halts_and_names_it() -> None:
    with pytest.raises(SchemasUnreadable, match="has version 2"):
        Subjects().load(b"a-value/1", b'{"v": 2}')


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"a-value/1", b""),
        (b"a-value/1", b"\xff"),
        (b"a-value/1", b"[]"),
        (b"a-value/1", b"{}"),
        (b"a-value/1", b'{"v": 1}'),
        (b"a-value/x", b'{"v": 1, "schema": "x"}'),
        (b"a-value/1", b'{"v": 1, "schema": 7}'),
        (b"\xff/1", b'{"v": 1, "schema": "x"}'),
        (b"layout/x", b'{"v": 1, "facts": {"key_columns": 7}}'),
    ],
)
def test_a_malformed_record_halts_and_names_its_key(key: bytes, value: bytes) -> None:
    with pytest.raises(SchemasUnreadable, match="record"):
        Subjects().load(key, value)


_FIRST, *_OTHERS = shop.ORDERS.relation.columns


@pytest.mark.parametrize(
    "column",
    [
        replace(_FIRST, is_key=False),
        replace(_FIRST, name="ident"),
        replace(_FIRST, type_oid=23),
        replace(_FIRST, type_modifier=8),
    ],
)
def test_facts_are_those_of_one_layout_alone(column: RelationColumn) -> None:
    schemas = SchemaLog()
    relation = shop.ORDERS.relation
    schemas.layouts.store(relation, _FACTS)
    assert schemas.layouts.facts(relation) == _FACTS
    assert schemas.layouts.facts(replace(relation, columns=(column, *_OTHERS))) is None
    assert schemas.layouts.facts(replace(relation, oid=1)) is None
    assert schemas.layouts.facts(replace(relation, replica_identity=ReplicaIdentity.FULL)) is None


def test_the_ledger_of_topics_beside_the_schemas_is_no_schema() -> None:
    schemas = SchemaLog()
    schemas.load(b"topic/orders.public.orders", b'{"v":1,"topic":"orders.public.orders","id":"x"}')
    assert schemas.subjects.names() == []


# --- the read model


def test_the_read_model_shows_a_version_once_its_record_is_loaded() -> None:
    schemas, served = SchemaLog(), Subjects()
    schemas.registry.register("a-value", '"string"')
    schemas.layouts.store(shop.ORDERS.relation, shop.ORDERS.facts)
    assert served.names() == [], "nothing is committed yet"
    for key, value in schemas.drain():
        served.load(key, value)
    served.load(b"topic/orders.public.orders", b'{"v":1,"topic":"orders.public.orders","id":"x"}')
    assert served.names() == ["a-value"]
    assert served.versions("a-value") == schemas.subjects.versions("a-value")


def test_a_registry_can_be_asked_again_after_it_refused_a_schema(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schemas = SchemaLog()
    schemas.registry.register("a-value", '"string"')
    with monkeypatch.context() as clashing:
        clashing.setattr(builtin, "schema_id", lambda _schema: schema_id('"string"'))
        with pytest.raises(SchemaIdClash):
            schemas.registry.register("b-value", '"bytes"')
    schemas.registry.register("b-value", '"bytes"')
    assert [key for key, _ in schemas.drain()] == [b"a-value/1", b"b-value/1"]
