"""Outbox events with schemas of their own: encoded, or refused with a path; versions follow."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.errors import ConfigInvalid, OutboxUnroutable, PayloadRefused, SchemaIncompatible
from cdc_sidecar.events.outbox.event_types import check_schemas, register_schemas
from cdc_sidecar.events.registry.log import SchemaLog
from tests.unit import shop, wire
from tests.unit.shop import BYTEA, JSONB, OUTBOX, TEXT, UUID, Published, Shop, layout

_ID = "6f5d7c1e-0000-4000-8000-000000000001"
_PLACED: dict[str, Any] = {
    "type": "record",
    "name": "OrderPlaced",
    "namespace": "com.example",
    "fields": [
        {
            "name": "total",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        },
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "to", "type": ["string", {"type": "map", "values": "long"}], "default": "nobody"},
    ],
}
_OLD = {**_PLACED, "name": "OrderPlacedV1", "fields": [{"name": "total", "type": "int"}]}
_PAYLOAD = '{"total": 12.5, "note": "quick"}'
_COLUMNS = {"id": UUID, "aggregatetype": TEXT, "aggregateid": TEXT, "type": TEXT}


def _avro(schemas: dict[str, Any] | None = None, **settings: object) -> Outbox:
    schemas = {"OrderPlaced": _PLACED} if schemas is None else schemas
    events = {name: {"schema": json.dumps(schema)} for name, schema in schemas.items()}
    return shop.outbox(payload="avro", events=events, **settings)


def _publish(
    outbox: Outbox, *payloads: str | None, kind: str = "OrderPlaced", more: Sequence[str] = ()
) -> Published:
    facts = BYTEA if outbox.payload_as == "bytes" else JSONB
    columns = {**_COLUMNS, "payload": facts, **dict.fromkeys(("tenant", "revision"), TEXT)}
    table = layout("outbox", columns, key=("id",), oid=OUTBOX.oid)
    cells = [*more, *([None] * (2 - len(more)))]
    rows = [
        wire.insert(OUTBOX.oid, (_ID, "order", "42", kind, payload, *cells)) for payload in payloads
    ]
    return Shop(table, outboxes=[outbox]).transaction(wire.relation(table.relation), *rows)


def test_a_payload_is_encoded_by_the_schema_of_its_type() -> None:
    published = _publish(_avro(), _PAYLOAD, '{"total": "0.10", "to": {"a": 1}}')
    assert published.values == [
        {"total": "12.50", "note": "quick", "to": "nobody"},
        {"total": "0.10", "note": None, "to": {"a": 1}},
    ]
    assert published.topics == ["outbox.event.order"] * 2


def test_the_subject_is_the_name_of_the_record() -> None:
    session = Shop(OUTBOX, outboxes=[_avro()])
    row = (_ID, "order", "42", "OrderPlaced", _PAYLOAD)
    session.transaction(wire.relation(OUTBOX.relation), wire.insert(OUTBOX.oid, row))
    assert session.subjects.names() == ["com.example.OrderPlaced", "outbox.event.order-key"]
    (version,) = session.subjects.versions("com.example.OrderPlaced")
    assert json.loads(version.schema) == _PLACED


@pytest.mark.parametrize(
    ("payload", "fact"),
    [
        ('{"total": "much"}', "$.total does not spell a number of decimal(9, 2)"),
        ("{}", "$.total is missing and has no default"),
        ('{"total": 1, "tax": 2}', "$.tax is not a field of record com.example.OrderPlaced"),
        ("nothing", "$ is not JSON: Expecting value at character 1"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_with_its_path(payload: str, fact: str) -> None:
    with pytest.raises(PayloadRefused) as refused:
        _publish(_avro(), payload)
    error = refused.value
    assert error.fact == fact
    assert error.where == "payload of event type OrderPlaced, LSN 0/1374, transaction 700"
    assert (error.outbox, error.event_type) == ("public.outbox", "OrderPlaced")


def test_an_event_type_without_a_schema_is_refused_and_the_block_is_named() -> None:
    with pytest.raises(PayloadRefused) as refused:
        _publish(_avro(), _PAYLOAD, kind="OrderPaid")
    assert refused.value.fact == "event type OrderPaid has no schema"
    assert '[outboxes.events."OrderPaid"]' in refused.value.hint


def test_a_null_payload_is_a_tombstone() -> None:
    assert _publish(_avro(), None).records[0].value is None


def test_versions_are_chosen_by_the_type_or_by_a_column() -> None:
    both = {"OrderPlaced": _PLACED, "OrderPlaced.v1": _OLD}
    assert _publish(_avro(both), '{"total": 3}', kind="OrderPlaced.v1").values == [{"total": 3}]
    outbox = _avro(
        {"OrderPlaced.v2": _PLACED, "OrderPlaced.v1": _OLD}, columns={"version": "revision"}
    )
    assert _publish(outbox, '{"total": 3}', more=("x", "1")).values == [{"total": 3}]
    newer = _publish(outbox, _PAYLOAD, more=("x", "2"))
    assert newer.values[0]["total"] == "12.50"
    assert ("type", b"OrderPlaced") in (newer.records[0].headers or [])
    with pytest.raises(OutboxUnroutable, match="column revision is NULL"):
        _publish(outbox, _PAYLOAD)


def test_columns_beside_the_payload_are_fields_of_an_envelope() -> None:
    published = _publish(_avro(envelope={"tenant": "tenant"}), _PAYLOAD, None, more=("acme",))
    payload = {"total": "12.50", "note": "quick", "to": "nobody"}
    assert published.values == [
        {"payload": payload, "tenant": "acme"},
        {"payload": None, "tenant": "acme"},
    ]
    framed = _publish(shop.outbox(envelope={"by": "tenant"}), _PAYLOAD)
    assert framed.values == [{"payload": _PAYLOAD, "by": None}]


def test_framed_avro_of_the_service_passes_through() -> None:
    outbox = _avro({}, payload_as="bytes")
    published = _publish(outbox, "\\x00000000070242", None)
    assert [record.value for record in published.records] == [b"\0\0\0\0\x07\x02B", None]
    for wrong in ("\\x", "\\x0000", "\\x0100000007"):
        with pytest.raises(PayloadRefused, match="not framed Avro"):
            _publish(outbox, wrong)


def test_all_wrong_schemas_are_reported_at_once() -> None:
    outbox = _avro({"A": {"type": "record", "name": "A"}, "B": "string", "C": _PLACED})
    with pytest.raises(ConfigInvalid) as refused:
        check_schemas([outbox])
    first, *mistakes = refused.value.fact.splitlines()
    assert first == "2 mistakes in schemas of events"
    assert ["events.A.schema" in mistakes[0], "events.B.schema" in mistakes[1]] == [True, True]


def _next(field: dict[str, Any], mode: str = "backward") -> None:
    """Register the order's schema, and then one with another field."""
    schemas = SchemaLog()
    register_schemas([_avro()], schemas.subjects, schemas.registry)
    newer = {**_PLACED, "fields": [*_PLACED["fields"], field]}
    events = {"OrderPlaced": {"schema": json.dumps(newer), "compatibility": mode}}
    outbox = shop.outbox(payload="avro", events=events)
    register_schemas([outbox], schemas.subjects, schemas.registry)
    register_schemas([_avro()], schemas.subjects, schemas.registry)  # the old one is still known
    assert [
        version.version for version in schemas.subjects.versions("com.example.OrderPlaced")
    ] == [
        1,
        2,
    ]


def test_a_schema_follows_the_registered_one_if_readers_can_read_both() -> None:
    _next({"name": "tax", "type": "int", "default": 0}, "full")
    with pytest.raises(SchemaIncompatible) as refused:
        _next({"name": "tax", "type": "int"})
    assert "com.example.OrderPlaced cannot follow its version 1" in refused.value.fact
    assert "tax" in refused.value.fact
    _next({"name": "tax", "type": "int"}, "forward")
    _next({"name": "tax", "type": "int"}, "none")
