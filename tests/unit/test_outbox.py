"""Outbox rows become events on topics of their own, or an error says why they cannot."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from cdc_sidecar.errors import (
    LayoutRefused,
    OutboxUnroutable,
    ProtocolViolation,
    RecordTooLarge,
    Unrepresentable,
)
from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.outbox.columns import outbox_mistakes
from cdc_sidecar.events.record import ANY_PARTITION
from cdc_sidecar.postgres.pgoutput import UNCHANGED
from cdc_sidecar.postgres.types import TypeFacts, TypeKind
from tests.unit import shop, wire
from tests.unit.shop import BYTEA, JSONB, OUTBOX, TEXT, UUID, Layout, Published, Shop, layout

_ID = "6f5d7c1e-0000-4000-8000-000000000001"
_ROW = (_ID, "Order", "42", "OrderPaid", '{"total": 1}')


def _publish(
    *changes: bytes, outbox: Layout = OUTBOX, size: int = 1_000_000, **settings: object
) -> Published:
    session = Shop(outbox, outboxes=[shop.outbox(**settings)], max_message_bytes=size)
    return session.transaction(wire.relation(outbox.relation), *changes)


def _insert(row: Sequence[wire.Cell] = _ROW) -> bytes:
    return wire.insert(OUTBOX.oid, row)


def _with(**columns: wire.Cell) -> bytes:
    names = [column.name for column in OUTBOX.relation.columns]
    return _insert(list((dict(zip(names, _ROW, strict=True)) | columns).values()))


def _payload(facts: TypeFacts) -> Layout:
    columns = {"id": UUID, "aggregatetype": TEXT, "aggregateid": TEXT, "type": TEXT}
    return layout("outbox", {**columns, "payload": facts}, key=("id",), oid=OUTBOX.oid)


def test_a_row_is_an_event_on_the_topic_of_its_aggregate_type() -> None:
    published = _publish(_insert())
    (record,) = published.records
    assert record.topic == "outbox.event.Order"
    assert record.partition == ANY_PARTITION
    assert record.headers == [
        ("id", _ID.encode()),
        ("type", b"OrderPaid"),
        ("commit_lsn", b"5000"),
    ]
    assert published.keys == ["42"]
    assert published.values == ['{"total": 1}']
    assert ((record.key or b"?")[0], (record.value or b"?")[0]) == (0, 0)
    assert published.counts == {Count(Counted.OUTBOX_EVENTS, "public.outbox", "OrderPaid"): 1}


def test_the_schemas_of_key_and_payload_are_plain_avro_types() -> None:
    session = Shop(OUTBOX, outboxes=[shop.outbox()])
    session.transaction(wire.relation(OUTBOX.relation), _insert())
    assert session.subjects.names() == ["outbox.event.Order-key", "outbox.event.Order-value"]
    assert {v.schema for n in session.subjects.names() for v in session.subjects.versions(n)} == {
        '"string"'
    }


@pytest.mark.parametrize("facts", [TEXT, JSONB])
def test_a_text_or_json_payload_is_an_avro_string(facts: TypeFacts) -> None:
    outbox = _payload(facts)
    assert _publish(_with(payload="héllo"), outbox=outbox).values == ["héllo"]


def test_a_bytea_payload_is_avro_bytes() -> None:
    published = _publish(_with(payload="\\x00cafe"), outbox=_payload(BYTEA))
    assert published.values == ["00cafe"]


def test_a_payload_of_a_domain_is_that_of_its_base() -> None:
    domain = TypeFacts(16500, -1, "public.doc", "doc", TypeKind.DOMAIN, base=BYTEA)
    assert _publish(_with(payload="\\xff"), outbox=_payload(domain)).values == ["ff"]


@pytest.mark.parametrize(
    ("facts", "cell", "raw"),
    [(JSONB, '{"é": 1}', '{"é": 1}'.encode()), (BYTEA, "\\x00ff", b"\x00\xff"), (TEXT, "", b"")],
)
def test_a_raw_payload_is_its_bytes_and_nothing_else(
    facts: TypeFacts, cell: str, raw: bytes
) -> None:
    published = _publish(_with(payload=cell), outbox=_payload(facts), payload="raw")
    assert published.records[0].value == raw
    assert published.keys == ["42"]


@pytest.mark.parametrize("payload", ["framed", "raw"])
def test_a_null_payload_is_a_null_value(payload: str) -> None:
    assert _publish(_with(payload=None), payload=payload).records[0].value is None


@pytest.mark.parametrize("column", ["aggregateid", "aggregatetype", "type", "id"])
def test_null_where_an_event_needs_a_value_is_refused_and_names_the_column(column: str) -> None:
    with pytest.raises(OutboxUnroutable) as refused:
        _publish(_with(**{column: None}))
    assert refused.value.fact == f"column {column} is NULL"
    assert refused.value.where == "table public.outbox, LSN 0/1374, transaction 700"


def test_a_value_that_the_server_did_not_send_is_refused_never_null() -> None:
    with pytest.raises(Unrepresentable, match="in column payload"):
        _publish(_with(payload=UNCHANGED))


def test_an_update_is_counted_and_a_delete_or_truncate_ignored() -> None:
    published = _publish(
        wire.update(OUTBOX.oid, _ROW),
        wire.delete(OUTBOX.oid, key=_ROW),
        wire.truncate(OUTBOX.oid),
    )
    assert published.records == []
    assert published.counts == {Count(Counted.OUTBOX_UPDATES, "public.outbox"): 1}


def test_events_keep_the_order_of_their_inserts() -> None:
    rows = [_with(aggregateid=str(number)) for number in range(5)]
    assert _publish(*rows).keys == ["0", "1", "2", "3", "4"]


def test_the_topic_is_a_template_and_its_illegal_characters_are_escaped() -> None:
    published = _publish(_with(aggregatetype="Größe/1"), topic="events.{aggregatetype}.v1")
    assert published.topics == ["events.Gr_x00F6__x00DF_e_x002F_1.v1"]


def test_an_aggregate_type_too_long_for_a_topic_is_refused_without_being_shown() -> None:
    with pytest.raises(OutboxUnroutable, match="an aggregate type of 300 bytes") as refused:
        _publish(_with(aggregatetype="s" * 300))
    assert "sss" not in str(refused.value)


@pytest.mark.parametrize("topic", ["{aggregatetype}", ".{aggregatetype}", "{aggregatetype}.."])
def test_an_aggregate_type_that_makes_a_name_which_kafka_reserves_is_refused(topic: str) -> None:
    with pytest.raises(OutboxUnroutable, match="an aggregate type of 0 bytes"):
        _publish(_with(aggregatetype=""), topic=topic)


@pytest.mark.parametrize("dots", [".", ".."])
def test_an_aggregate_type_of_dots_makes_a_legal_name(dots: str) -> None:
    (topic,) = _publish(_with(aggregatetype=dots), topic="{aggregatetype}").topics
    assert topic == "_x002E_" * len(dots)


def test_a_payload_larger_than_its_topic_takes_is_refused() -> None:
    with pytest.raises(RecordTooLarge, match=r"topic outbox\.event\.Order takes"):
        _publish(_with(payload="x" * 2000), size=2000)


def test_a_trace_context_is_a_header_where_the_column_stands() -> None:
    columns = {
        column.name: facts
        for column, facts in zip(OUTBOX.relation.columns, OUTBOX.facts.types, strict=True)
    }
    traced = layout("outbox", {**columns, "traceparent": TEXT}, key=("id",), oid=OUTBOX.oid)
    published = _publish(_insert((*_ROW, "00-ab-cd-01")), outbox=traced)
    assert published.records[0].headers is not None
    assert published.records[0].headers[3] == ("traceparent", b"00-ab-cd-01")
    without = _publish(_insert((*_ROW, None)), outbox=traced).records[0]
    assert without.headers is not None
    assert len(without.headers) == 3


def test_columns_can_have_other_names() -> None:
    renamed = layout(
        "outbox",
        {"event_id": UUID, "kind": TEXT, "of": TEXT, "what": TEXT, "body": JSONB},
        key=("event_id",),
        oid=OUTBOX.oid,
    )
    names = {
        "id": "event_id",
        "aggregatetype": "kind",
        "aggregateid": "of",
        "type": "what",
        "payload": "body",
    }
    published = _publish(_insert(), outbox=renamed, columns=names)
    assert (published.topics, published.keys) == (["outbox.event.Order"], ["42"])


@pytest.mark.parametrize("cells", [_ROW[:4], (*_ROW, None), ()])
def test_a_row_of_another_width_is_refused(cells: Sequence[wire.Cell]) -> None:
    with pytest.raises(ProtocolViolation, match="does not fit its relation"):
        _publish(_insert(cells))


def test_all_mistakes_of_an_outbox_are_reported_at_once() -> None:
    poor = layout("outbox", {"id": UUID, "payload": shop.BIGINT}, key=("id",), oid=OUTBOX.oid)
    mistakes = outbox_mistakes(poor.relation, poor.facts, shop.outbox())
    assert len(mistakes) == 4
    reported = "\n".join(mistakes)
    for part in ("aggregatetype", "aggregateid", "(type)", "payload must be text, json, jsonb"):
        assert part in reported
    with pytest.raises(LayoutRefused, match="payload must be"):
        _publish(_insert(), outbox=poor)


@pytest.mark.parametrize(
    ("kind", "sent_as", "mistake"),
    [
        (shop.BIGINT, None, 'payload_as = "text"'),
        (shop.BIGINT, "text", ""),
        (shop.BIGINT, "bytes", "must be bytea"),
        (None, None, 'or "bytes"'),
        (None, "text", ""),
        (None, "bytes", ""),
    ],
)
def test_how_a_payload_of_another_type_is_sent_is_said_by_a_setting(
    kind: TypeFacts | None, sent_as: str | None, mistake: str
) -> None:
    other = _payload(shop.BIGINT)
    facts = replace(other.facts, types=(*other.facts.types[:-1], kind))
    found = outbox_mistakes(other.relation, facts, shop.outbox(payload_as=sent_as))
    assert [mistake in each for each in found] == [True] * bool(mistake)


def test_a_renamed_column_has_both_names_and_one_of_them_in_each_layout() -> None:
    columns = {"payload": ["body", "payload"]}
    assert _publish(_insert(), columns=columns).values == ['{"total": 1}']
    names = {"id": UUID, "aggregatetype": TEXT, "aggregateid": TEXT, "type": TEXT}
    renamed = layout("outbox", {**names, "body": JSONB}, key=("id",), oid=OUTBOX.oid)
    assert _publish(_insert(), outbox=renamed, columns=columns).values == ['{"total": 1}']
    both = layout("outbox", {**names, "body": JSONB, "payload": JSONB}, key=("id",))
    config = shop.outbox(columns=columns)
    assert outbox_mistakes(both.relation, both.facts, config) == [
        "public.outbox: the outbox has each of the columns body and payload (payload)"
    ]
    (mistake,) = outbox_mistakes(renamed.relation, renamed.facts, shop.outbox())
    assert mistake.endswith('[outboxes.columns] payload = ["payload", "body"])')


def test_the_name_in_an_error_is_the_one_that_the_column_has() -> None:
    with pytest.raises(OutboxUnroutable, match="column type is NULL"):
        _publish(_with(type=None), columns={"type": ["kind", "type"]})
