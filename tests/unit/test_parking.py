"""What is parked of a change that cannot be published, and how it is read again."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_sidecar.errors import TopicUnfit
from cdc_sidecar.events.parking.document import Documents, divide
from cdc_sidecar.events.position import Position
from cdc_sidecar.events.record import Record
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.pgoutput import UNCHANGED, ReplicaIdentity
from tests.unit import wire
from tests.unit.shop import (
    OUTBOX,
    TEXT,
    TOTAL,
    Layout,
    Published,
    Shop,
    layout,
    outbox,
    table,
    transaction,
)

COLUMNS = {"id": TEXT, "total": TOTAL, "email": TEXT, "secret": TEXT}
ITEMS = layout("items", COLUMNS, key=("id",))
FULL = layout("items", COLUMNS, key=("id",), identity=ReplicaIdentity.FULL)
TOPIC = "shop.public.items.parked"


def shop(described: Layout = ITEMS, **more: Any) -> Shop:  # noqa: ANN401 - settings of the shop
    """Begin a session whose table parks what it refuses."""
    config = table(
        "public.items",
        columns=["id", "total", "email"],
        column={"email": {"mask": "hash"}},
        on_error="park",
    )
    return Shop(described, tables=[config], **more)


def feed(described: Layout, *changes: bytes, **more: Any) -> Published:  # noqa: ANN401 - as above
    """Publish one transaction."""
    return shop(described, **more).transaction(wire.relation(described.relation), *changes)


def documents(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return what was parked."""
    whole = Documents()
    found = []
    for record in records:
        headers = dict(record.headers or ())
        if "parked" in headers:
            part = headers.get("part", b"").decode()
            found.append(whole.add(record.value or b"", part))
    return [document for document in found if document]


def test_a_parked_row_has_its_place_its_error_and_only_what_may_leave() -> None:
    bad = wire.insert(ITEMS.oid, ("7", "NaN", "me@example.com", "hidden"))
    published = feed(ITEMS, bad, wire.insert(ITEMS.oid, ("8", "1.00", None, None)))
    parked, good = published.records
    assert (parked.topic, parked.partition, parked.key) == (TOPIC, 0, b'{"id":"7"}')
    assert dict(parked.headers or ())["parked"] == b"CDC-301"
    assert good.topic == "shop.public.items"
    (document,) = documents(published.records)
    assert document["error"].pop("hint").startswith('set [tables.column.total] as = "text", in')
    assert document == {
        "version": 1,
        "service": "shop",
        "origin": "public.items",
        "kind": "table",
        "topic": "shop.public.items",
        "op": "c",
        "commit_lsn": "0/1388",
        "lsn": "0/136A",
        "transaction": 700,
        "committed_at": "2023-11-14T22:13:20.123456+00:00",
        "error": {
            "code": "CDC-301",
            "title": "value cannot be represented",
            "fact": document["error"]["fact"],
        },
        "key": {"id": "7"},
        "before": None,
        "after": {"id": "7", "total": "NaN", "email": document["after"]["email"]},
        "unchanged": [],
    }
    assert len(document["after"]["email"]) == 64
    assert "example" not in json.dumps(document)
    (batch,) = published.batches
    (note,) = batch.parked
    assert (note.origin, note.code, note.event_type) == ("public.items", "CDC-301", None)
    assert (note.commit_lsn, len(note.key_hash)) == (5000, 16)


def test_each_operation_is_parked_with_the_rows_that_postgres_has_sent() -> None:
    key, bad = ("7", None, None, None), ("7", "NaN", UNCHANGED, "x")
    (document,) = documents(feed(ITEMS, wire.update(ITEMS.oid, bad, key=key)).records)
    assert (document["op"], document["before"]) == ("u", {"id": "7"})
    assert (document["after"], document["unchanged"]) == ({"id": "7", "total": "NaN"}, ["email"])
    old = ("7", "NaN", None, "x")
    (document,) = documents(feed(FULL, wire.delete(FULL.oid, old=old)).records)
    assert (document["op"], document["after"], document["key"]) == ("d", None, {"id": "7"})
    assert document["before"] == {"id": "7", "total": "NaN", "email": None}


def test_a_parked_event_has_no_number_and_those_after_it_have_the_next_one() -> None:
    rows = [wire.insert(ITEMS.oid, (str(n), "NaN" if n % 2 else "1", None, None)) for n in range(5)]
    published = feed(ITEMS, *rows, transaction_metadata=True)
    values = [
        published.reader.read(record.value or b"")
        for record in published.records
        if record.topic != TOPIC
    ]
    assert [value["transaction"]["total_order"] for value in values[1:-1]] == [1, 2, 3]
    assert values[-1]["event_count"] == 3


def test_a_transaction_in_which_everything_is_parked_moves_the_position() -> None:
    published = feed(ITEMS, wire.insert(ITEMS.oid, ("1", "NaN", None, None)))
    (batch,) = published.batches
    assert batch.position == Position(Lsn(5050))
    assert batch.transactions == 1


def test_a_text_that_is_not_utf_8_is_base64() -> None:
    (document,) = documents(
        feed(ITEMS, wire.insert(ITEMS.oid, (b"\xff", "NaN", None, None))).records
    )
    assert document["key"] == {"id": {"base64": "/w=="}}


def test_a_large_row_is_divided_and_its_large_key_is_replaced() -> None:
    large = "k" * 90_000
    published = feed(
        ITEMS, wire.insert(ITEMS.oid, (large, "1.00", None, None)), max_message_bytes=50_000
    )
    (document,) = documents(published.records)
    assert document["error"]["code"] == "CDC-302"
    assert document["after"]["id"] == large
    assert len(published.records) == 4
    assert all(record.size <= 50_000 - 1024 for record in published.records)
    assert json.loads(published.records[0].key or b"").keys() == {"sha256"}


def test_a_topic_that_is_too_small_for_any_part_halts() -> None:
    begun = transaction(
        wire.relation(ITEMS.relation), wire.insert(ITEMS.oid, ("1", "NaN", None, None))
    )
    with pytest.raises(TopicUnfit) as refused:
        shop(max_message_bytes=10_000).feed(*begun)
    assert f"raise max.message.bytes of topic {TOPIC}" in refused.value.hint


def test_an_outbox_parks_every_column() -> None:
    event = ("42", "order", None, "Placed", "{}")
    parking = Shop(OUTBOX, outboxes=[outbox(on_error="park")])
    published = parking.transaction(wire.relation(OUTBOX.relation), wire.insert(OUTBOX.oid, event))
    (document,) = documents(published.records)
    assert (document["kind"], document["error"]["code"]) == ("outbox", "CDC-304")
    assert document["topic"] == "outbox.event.{aggregatetype}"
    assert list(document["after"].values()) == list(event)
    assert published.records[0].topic == "shop.public.outbox.parked"
    (note,) = published.batches[0].parked
    assert note.event_type == "Placed"


@given(st.binary(max_size=300), st.integers(1, 50))
def test_what_was_divided_is_put_together_again(content: bytes, room: int) -> None:
    text = json.dumps({"version": 1, "content": content.hex()}).encode()
    parts = divide(text, room)
    assert all(len(part) <= room for part in parts)
    whole = Documents()
    assert whole.add(b"of another event", "2/2") is None
    results = [whole.add(part, f"{number}/{len(parts)}") for number, part in enumerate(parts, 1)]
    assert results[:-1] == [None] * (len(parts) - 1)
    assert results[-1] == json.loads(text)


@pytest.mark.parametrize("value", [b"no JSON", b"[1]", b'{"version": 2}', b"\xff"])
def test_what_is_no_document_is_passed_over(value: bytes) -> None:
    assert Documents().add(value, "") is None
