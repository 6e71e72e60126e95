"""The route of an event: topic, key, partition, time and headers, from a row or a message."""

import json
from typing import Any

import pytest

from cdc_sidecar.errors import OutboxUnroutable
from cdc_sidecar.events.outbox.columns import outbox_mistakes
from cdc_sidecar.events.outbox.messages import read_members
from tests.unit import shop, wire
from tests.unit.shop import JSONB, OUTBOX, TEXT, UUID, Published, Shop, layout

_ID = "6f5d7c1e-0000-4000-8000-000000000001"
_COLUMNS = {"id": UUID, "aggregatetype": TEXT, "aggregateid": TEXT, "type": TEXT, "payload": JSONB}
_TABLE = layout(
    "outbox",
    _COLUMNS | dict.fromkeys(("tracestate", "tenant", "part", "at"), TEXT),
    key=("id",),
    oid=OUTBOX.oid,
)
_ROW: tuple[str | None, ...] = (_ID, "order", "42", "OrderPaid", "{}")
_MESSAGE = {"id": _ID, "aggregatetype": "order", "aggregateid": "42", "type": "OrderPaid"}


def _insert(*more: str | None, **settings: object) -> Published:
    cells = (*_ROW, *more, *([None] * (4 - len(more))))
    session = Shop(_TABLE, outboxes=[shop.outbox(**settings)])
    insert = wire.insert(OUTBOX.oid, cells)
    return session.transaction(wire.relation(_TABLE.relation), insert)


def _emit(content: bytes, **settings: object) -> Published:
    outbox = shop.outbox(table=None, prefix="events", **settings)
    message = wire.logical_message("events", content, 4990, transactional=True)
    return Shop(outboxes=[outbox]).transaction(message)


def _message(**members: object) -> bytes:
    return json.dumps({**_MESSAGE, "payload": {"total": 1}, **members}).encode()


def test_the_topic_may_name_any_columns_or_none() -> None:
    topic = "{tenant}.{aggregatetype}.{type}"
    assert _insert(None, "acme", topic=topic).topics == ["acme.order.OrderPaid"]
    assert _insert(topic="orders.events").topics == ["orders.events"]
    with pytest.raises(OutboxUnroutable, match="column tenant is NULL"):
        _insert(topic=topic)


@pytest.mark.parametrize("topic", ["_cdc.shop.position", "__{aggregatetype}"])
def test_an_event_never_goes_to_a_topic_of_the_sidecar_or_of_kafka(topic: str) -> None:
    with pytest.raises(OutboxUnroutable, match="is not for events"):
        _insert(topic=topic)


def test_a_header_that_the_topic_needs_must_have_a_column() -> None:
    config = shop.outbox(topic="{tracestate}")
    (mistake,) = outbox_mistakes(OUTBOX.relation, OUTBOX.facts, config)
    assert "tracestate" in mistake


def test_further_columns_become_headers_and_null_ones_are_left_out() -> None:
    headers = {"tenant": "tenant", "place": "part"}
    (record,) = _insert("k=v", "acme", headers=headers).records
    assert record.headers is not None
    assert record.headers[3:] == [("tenant", b"acme"), ("tracestate", b"k=v")]


def test_the_key_may_be_the_bytes_of_the_aggregate_id() -> None:
    assert _insert(key="raw").records[0].key == b"42"


def test_a_column_chooses_the_partition() -> None:
    columns = {"partition": "part"}
    assert _insert(None, None, "2", columns=columns).records[0].partition == 2
    assert _insert(None, None, "2", columns=columns).keys == ["42"]
    for wrong in (str(shop.PARTITIONS), "-1", "two", "", "²", "1" * 5000):
        with pytest.raises(OutboxUnroutable, match="column part is not a partition of topic"):
            _insert(None, None, wrong, columns=columns)
    with pytest.raises(OutboxUnroutable, match="column part is NULL"):
        _insert(columns=columns)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2026-11-28 10:00:00.5+00", 1_795_860_000_500),
        ("2026-11-28 12:00:00+02", 1_795_860_000_000),
        ("2026-11-28 10:00:00", 1_795_860_000_000),
        ("2026-11-28T10:00:00.123456Z", 1_795_860_000_123),
        ("1795860000123", 1_795_860_000_123),
    ],
)
def test_a_column_is_the_time_of_the_record(text: str, milliseconds: int) -> None:
    columns = {"timestamp": "at"}
    assert _insert(None, None, None, text, columns=columns).records[0].timestamp == milliseconds


@pytest.mark.parametrize("text", ["infinity", "0044-03-15 00:00:00+00 BC", "1969-01-01", "9" * 20])
def test_a_time_that_kafka_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(OutboxUnroutable, match="column at is not a time"):
        _insert(None, None, None, text, columns={"timestamp": "at"})


_NO_SHARD = (
    "public.outbox: outbox column shard (topic shard) does not exist or is not published: name one"
    " of the columns id, aggregatetype, aggregateid, type, payload in the braces of topic"
)


def test_a_column_that_is_missing_is_named_with_its_block() -> None:
    config = shop.outbox(headers={"who": "user"}, envelope={"n": "note"}, topic="{shard}")
    mistakes = outbox_mistakes(OUTBOX.relation, OUTBOX.facts, config)
    assert [mistake.split("; ")[0] for mistake in mistakes] == [
        "public.outbox: outbox column user (header who) does not exist or is not published",
        "public.outbox: outbox column note (field n) does not exist or is not published",
        _NO_SHARD,
    ]


def test_a_message_is_an_event_as_a_row_is() -> None:
    (record,) = _emit(_message(traceparent="00-ab-cd-01")).records
    assert record.topic == "outbox.event.order"
    assert record.headers == [
        ("id", _ID.encode()),
        ("type", b"OrderPaid"),
        ("commit_lsn", b"5000"),
        ("traceparent", b"00-ab-cd-01"),
    ]
    assert _emit(_message()).keys == ["42"]
    assert _emit(_message()).values == ['{"total": 1}']


def test_the_payload_of_a_message_is_its_own_text() -> None:
    content = _message()[:-1].replace(b'{"total": 1}', b'{"total": 1.10 ,"a":"\\u00e9"}') + b" }\n"
    assert _emit(content).values == ['{"total": 1.10 ,"a":"\\u00e9"}']
    assert _emit(_message(payload="x"), payload_as="text").values == ["x"]
    assert _emit(_message(payload="AP8="), payload_as="bytes", payload="raw").records[0].value == (
        b"\x00\xff"
    )


def test_numbers_in_a_message_are_texts_of_the_route() -> None:
    assert _emit(_message(aggregateid=42)).keys == ["42"]
    assert _emit(_message(part=1), columns={"partition": "part"}).records[0].partition == 1


@pytest.mark.parametrize("content", [_message(payload=None), json.dumps(_MESSAGE).encode()])
def test_a_message_without_a_payload_is_a_tombstone(content: bytes) -> None:
    assert _emit(content).records[0].value is None


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", "a message is not a JSON object: no { at character 1"),
        (b"[]", "a message is not a JSON object: no { at character 1"),
        (b'{"id" 1}', "a message is not a JSON object: no : at character 7"),
        (b'{"id": 1 "type": 2}', "a message is not a JSON object: no , at character 10"),
        (b'{"id": 1, "id": 2}', "a message is not a JSON object: a member occurs twice"),
        (b'{"id": }', "a message is not a JSON object: Expecting value at character 8"),
        (b"{} {}", "a message is not a JSON object: more text behind it"),
        (b'{"id": "\xff"}', "a message is not a JSON object: it is not UTF-8"),
        (b'{"id": "\\ud800"}', "a message is not a JSON object: it has half of a surrogate pair"),
        (b'{"id": ' + b"[" * 100_000, "a message is not a JSON object: it is nested too deeply"),
        (b"{}", "a message has no member aggregatetype, or null in it"),
    ],
)
def test_a_message_that_is_no_event_is_refused(content: bytes, fact: str) -> None:
    with pytest.raises(OutboxUnroutable) as refused:
        _emit(content)
    assert refused.value.fact == fact
    assert refused.value.where.startswith("outbox messages events, LSN")


def test_the_payload_of_a_message_is_a_string_if_it_holds_a_text_or_bytes() -> None:
    with pytest.raises(OutboxUnroutable, match="payload must be a string, because of payload_as"):
        _emit(_message(payload={}), payload_as="text")
    with pytest.raises(OutboxUnroutable, match="its payload is not base64"):
        _emit(_message(payload="no!"), payload_as="bytes")


def test_a_message_of_another_prefix_is_left_out() -> None:
    outbox = shop.outbox(table=None, prefix="other")
    message = wire.logical_message("events", _message(), 4990, transactional=True)
    assert Shop(outboxes=[outbox]).transaction(message).records == []


def _members(text: str) -> dict[str, Any]:
    return {name: json.loads(value) for name, value in read_members(text).items()}


@pytest.mark.parametrize(
    "text", ["{}", " {\n} ", '{"a":1}', '{ "a" : [1, {"b": 2}] , "c\\u00e9" : "x,}" }']
)
def test_the_members_of_an_object_are_those_that_json_has(text: str) -> None:
    assert _members(text) == json.loads(text)
