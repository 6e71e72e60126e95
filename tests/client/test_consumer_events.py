"""Events reach their handler decoded and typed, in order, and once."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pydantic
import pytest
from cdc_sidecar_client.consumer import Event, Policy, Transaction, UnknownEventType

from tests.client.billing_topic import framed, order_id, placed
from tests.client.running import QUICK, Service, running
from tests.waiting import await_true


@dataclass(frozen=True)
class Line:
    """A line of an order."""

    sku: str
    quantity: int


@dataclass(frozen=True)
class OrderPlaced:
    """The part of the event that this service uses."""

    order_id: UUID
    total: Decimal
    placed_at: datetime
    lines: list[Line]
    note: str | None = None


class OrderModel(pydantic.BaseModel):
    """The same, as a model."""

    order_id: UUID
    total: Decimal
    lines: list[dict[str, object]]


def test_events_are_handled_in_order_and_offsets_are_stored_with_their_effects(
    service: Service,
) -> None:
    service.topic.place(*range(50))
    with running(service.writing()):
        service.await_effects(*range(50))
        service.topic.place(50)
        service.await_effects(*range(51))
    assert service.next_offset() == 51
    assert service.topic.committed(service.group) == 51
    with running(service.writing()):
        service.topic.place(51)
        service.await_effects(*range(52))


_ENVELOPE = {
    "type": "record",
    "name": "Envelope",
    "fields": [
        {"name": "op", "type": "string"},
        {"name": "after", "type": ["null", {"type": "map", "values": "string"}]},
        {
            "name": "source",
            "type": {
                "type": "record",
                "name": "Source",
                "fields": [{"name": "commit_lsn", "type": "long"}],
            },
        },
        {
            "name": "transaction",
            "type": {
                "type": "record",
                "name": "Block",
                "fields": [{"name": "total_order", "type": "long"}],
            },
        },
    ],
}


def _received(service: Service, *annotations: Any) -> list[Any]:  # noqa: ANN401 - types
    """Send an order for each annotation; return what handlers with these annotations get."""
    consumer = service.consumer()
    seen: list[Any] = []
    for number, annotation in enumerate(annotations):

        def note(_transaction: Transaction, event: Any) -> None:  # noqa: ANN401 - set below
            seen.append(event)

        note.__annotations__["event"] = annotation
        consumer.handler(f"Order{number}")(note)
        service.topic.send("1", placed(1), f"Order{number}")
    service.topic.flush()
    with running(consumer):
        await_true(lambda: consumer.counts.handled == len(annotations), what="all events")
    return seen


def test_a_handler_gets_what_its_annotation_asks_for(service: Service) -> None:
    kinds = (OrderPlaced, OrderModel, Event[OrderPlaced], dict[str, object], Event)
    order, model, event, plain, untyped = _received(service, *kinds)
    at = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    assert order == OrderPlaced(UUID(order_id(1)), Decimal("1.50"), at, [Line("tea", 2)])
    assert isinstance(model, OrderModel)
    assert model.total == Decimal("1.50")
    assert (event.payload, event.key, event.type) == (order, "1", "Order2")
    assert (event.commit_lsn, event.offset, event.topic) == (1234, 2, service.topic.name)
    assert UUID(event.id) != UUID(untyped.id)
    assert abs((event.timestamp - datetime.now(UTC)).total_seconds()) < 600
    assert plain == untyped.payload
    assert plain["order_id"] == UUID(order_id(1))


def test_payloads_as_json_text_raw_bytes_and_nulls_are_decoded(service: Service) -> None:
    consumer, seen = service.consumer(Policy(retry=QUICK)), []

    @consumer.handler("Any")
    def note(_transaction: Transaction, event: Event[object]) -> None:
        seen.append(event.payload)

    text = '{"total": 0.1}'
    for value in (framed(1, text), framed(2, text.encode()), text.encode(), framed(1, "no JSON")):
        service.topic.send("1", value, "Any")
    service.topic.send("1", None, "Any")
    service.topic.flush()
    with running(consumer):
        await_true(lambda: consumer.counts.handled == 5, what="5 events")
    total = {"total": Decimal("0.1")}
    assert seen == [total, total, total, "no JSON", None]


def test_table_events_have_the_operation_as_their_type(service: Service) -> None:
    service.registry.schemas[900] = _ENVELOPE
    consumer, seen = service.consumer(), []

    @consumer.handler(topic=service.topic.name)
    def row(_transaction: Transaction, event: Event[dict[str, object]]) -> None:
        seen.append((event.type, event.id, event.commit_lsn, event.payload["after"]))

    block = {"source": {"commit_lsn": 77}, "transaction": {"total_order": 3}}
    for op, after in (("c", {"id": "1"}), ("d", None)):
        service.topic.send("1", framed(900, {"op": op, "after": after, **block}, _ENVELOPE))
    service.topic.send("1", None)
    service.topic.flush()
    with running(consumer):
        await_true(lambda: service.next_offset() == 3, what="3 records passed")
    assert seen == [("c", "77:3", 77, {"id": "1"}), ("d", "77:3", 77, None)]
    assert (consumer.counts.handled, consumer.counts.ignored) == (2, 1)


@pytest.mark.parametrize("unknown", ["ignore", "park"])
def test_an_event_of_unknown_type_is_counted_or_parked(service: Service, unknown: str) -> None:
    consumer = service.writing(Policy(retry=QUICK, unknown=unknown))  # type: ignore[arg-type]
    service.topic.send("1", placed(1), "OrderShipped")
    service.topic.place(2)
    with running(consumer):
        service.await_effects(2)
    assert (consumer.counts.ignored, consumer.counts.parked) == (
        (1, 0) if unknown == "ignore" else (0, 1)
    )


def test_an_event_of_unknown_type_stops_the_consumer_if_the_policy_says_so(
    service: Service,
) -> None:
    consumer = service.writing(Policy(retry=QUICK, unknown="stop"))
    service.topic.place(1)
    service.topic.send("1", placed(1), "OrderShipped")
    service.topic.flush()
    with pytest.raises(UnknownEventType, match="no handler of type 'OrderShipped'"):
        consumer.run()
    assert service.effects() == ["1"]
    assert service.next_offset() == 1


def _write_transaction(transaction: Transaction, event: Event[Any]) -> None:
    """Write the effect with the number of its transaction; fail for one key."""
    row = "INSERT INTO effects VALUES (pg_current_xact_id()::text, %s)"
    transaction.execute(row, (event.key,))
    assert event.key != "30"


def test_batches_share_a_transaction_and_a_failure_among_them_costs_no_event(
    service: Service,
) -> None:
    consumer = service.consumer(Policy(retry=QUICK, batch=20))
    consumer.handler("OrderPlaced")(_write_transaction)
    service.topic.place(*range(60))
    with running(consumer):
        service.await_effects(*(key for key in range(60) if key != 30))
        service.await_parked(1)
    assert consumer.counts.handled == 59
    (row,) = service.rows("SELECT count(DISTINCT order_id) FROM effects")
    assert row[0] < 59


def test_a_group_begins_at_its_offsets_in_kafka_or_where_the_policy_says(
    service: Service,
) -> None:
    service.topic.place(1, 2)
    late = Policy(retry=QUICK, start="latest")
    with running(service.writing(late)):
        await_true(lambda: service.next_offset() == 2, what="the group began at the end")
    service.topic.place(3)
    with running(service.writing(late)):
        service.await_effects(3)
    assert service.topic.committed(service.group) == 3
    service.rows("DELETE FROM consumer_offsets RETURNING 1")
    with running(service.writing()):  # the group's offset in Kafka decides
        service.topic.place(4)
        service.await_effects(3, 4)
