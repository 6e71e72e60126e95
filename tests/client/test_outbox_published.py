"""What a service emits is what a reader of Kafka gets, in each shape, by Python and by SQL."""

from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from cdc_sidecar_client import Outbox
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, use_span

from cdc_sidecar.operations.outbox_sql import outbox_sql
from cdc_sidecar.servers.kafka import KafkaBroker
from examples.orders.events import CancelReason, OrderCancelled, OrderLine, OrderPlaced
from examples.orders.service import SCHEMAS
from tests.acceptance.conftest import MARKS, Service, service_maker
from tests.acceptance.events import read_registry, read_topics

_SOURCES = {
    "table": 'table = "public.kept"',
    "transient": 'table = "public.passing"',
    "message": 'prefix = "outbox"',
}
_OUTBOX = """
[[outboxes]]
{source}
topic = "out.{name}.{{aggregatetype}}"
payload = "avro"
[outboxes.events.OrderPlaced]
schema = "{schemas}/OrderPlaced.avsc"
[outboxes.events.OrderCancelled]
schema = "{schemas}/OrderCancelled.avsc"
"""
_TRACE = SpanContext(
    0xABC,
    0xDEF,
    is_remote=False,
    trace_flags=TraceFlags(TraceFlags.SAMPLED),
    trace_state=TraceState([("vendor", "x")]),
)
_OUTBOXES = {
    "table": Outbox("table", table="public.kept", schemas=SCHEMAS),
    "transient": Outbox("transient", table="public.passing", schemas=SCHEMAS),
    "message": Outbox("message", schemas=SCHEMAS),
}
_TYPES = ("OrderPlaced", "OrderCancelled", "OrderCancelled")
_SQL = "SELECT {}_emit(%s, %s, 'OrderCancelled', %s)"


def configure(service: Service) -> None:
    """Create the tables and functions that are printed; configure an outbox of each shape."""
    scripts = [
        outbox_sql("table", table="public.kept", role="postgres"),
        outbox_sql("transient", table="public.passing", role="postgres"),
        outbox_sql("message", table="public.outbox", role="postgres"),
    ]
    service.sql(*scripts, "CREATE PUBLICATION cdc FOR ALL TABLES")
    text = MARKS
    for source in _SOURCES.values():
        text += _OUTBOX.format(source=source, name=service.name, schemas=SCHEMAS)
    with service.sidecar.config.open("a") as config:
        config.write(text)


@pytest.fixture
def service(database: str, kafka: KafkaBroker, tmp_path: Path) -> Iterator[Service]:
    """Yield a service whose sidecar streams."""
    with service_maker(database, kafka.bootstrap_servers, tmp_path) as make:
        made: Service = make("")
        configure(made)
        made.sidecar.start_and_stream()
        yield made


def received(service: Service, shape: str) -> list[tuple[str, Any, dict[str, str]]]:
    """Return key, value and headers of the events of a shape; values are texts of the reader."""
    reader = read_registry(service.kafka, service.name)
    found = []
    for records in read_topics(service.kafka, [f"out.{service.name}.{shape}"]).values():
        for key, framed, headers in records:
            texts = {name: text.decode() for name, text in headers if name != "commit_lsn"}
            value = None if framed is None else reader.read(framed)
            found.append((str(reader.read(key or b"")), value, texts))
    return found


def _place() -> OrderPlaced:
    lines = [OrderLine("tea", 2), OrderLine('a "cup"', 1)]
    moment = datetime(2026, 11, 28, 12, 0, 0, 123_456, timezone.utc)  # noqa: UP017 - as in 3.10
    return OrderPlaced(uuid4(), "Zoë", Decimal("31.40"), moment, lines)


def test_an_event_is_published_as_it_was_emitted(service: Service) -> None:
    placed = _place()
    cancelled = OrderCancelled(placed.order_id, CancelReason.OUT_OF_STOCK)
    values = [_spelled(placed), {"order_id": str(placed.order_id), "reason": "OUT_OF_STOCK"}, None]
    ids = {}
    with psycopg.connect(service.dsn) as connection, use_span(NonRecordingSpan(_TRACE)):
        for shape, outbox in _OUTBOXES.items():
            key = (shape, placed.order_id)
            ids[shape] = [
                outbox.emit(connection, event, aggregate=key, type=name)
                for event, name in zip((placed, cancelled, None), _TYPES, strict=True)
            ]
        connection.commit()
        _OUTBOXES["message"].emit(connection, placed, aggregate=("message", "rolled back"))
        connection.rollback()
    service.await_published()
    for shape, emitted in ids.items():
        headers = list(map(_headers, emitted, _TYPES))
        expected = zip([str(placed.order_id)] * 3, values, headers, strict=True)
        assert received(service, shape) == list(expected)


def _spelled(placed: OrderPlaced) -> dict[str, Any]:
    return {
        "order_id": str(placed.order_id),
        "customer": "Zoë",
        "total": "31.40",
        "placed_at": "2026-11-28 12:00:00.123456+00",
        "lines": [{"sku": "tea", "quantity": 2}, {"sku": 'a "cup"', "quantity": 1}],
        "note": None,
    }


def _headers(event_id: UUID, name: str) -> dict[str, str]:
    trace = f"00-{_TRACE.trace_id:032x}-{_TRACE.span_id:016x}-01"
    return {"id": str(event_id), "type": name, "traceparent": trace, "tracestate": "vendor=x"}


def test_the_printed_function_emits_what_the_sidecar_publishes(service: Service) -> None:
    order = UUID(int=7)
    payload = f'{{"order_id": "{order}", "reason": "PAYMENT_FAILED"}}'
    ids = {}
    with psycopg.connect(service.dsn) as connection:
        for shape, name in (("table", "kept"), ("transient", "passing"), ("message", "outbox")):
            row = connection.execute(_SQL.format(name).encode(), (shape, "7", payload)).fetchone()
            assert row
            ids[shape] = str(row[0])
    service.await_published()
    value = {"order_id": str(order), "reason": "PAYMENT_FAILED"}
    for shape, event_id in ids.items():
        headers = {"id": event_id, "type": "OrderCancelled"}
        assert received(service, shape) == [("7", value, headers)]
