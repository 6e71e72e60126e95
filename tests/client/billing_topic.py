"""A topic of order events as the sidecar publishes them, and the registry of its schemas."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid4, uuid5

import fastavro
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from tests.topics import make_topic

PLACED = {
    "type": "record",
    "name": "OrderPlaced",
    "namespace": "com.example.orders",
    "fields": [
        {"name": "order_id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "customer", "type": "string"},
        {
            "name": "total",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2},
        },
        {"name": "placed_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {
            "name": "lines",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "OrderLine",
                    "fields": [
                        {"name": "sku", "type": "string"},
                        {"name": "quantity", "type": "int"},
                    ],
                },
            },
        },
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}
CANCELLED = {
    "type": "record",
    "name": "OrderCancelled",
    "namespace": "com.example.orders",
    "fields": [
        {"name": "order_id", "type": {"type": "string", "logicalType": "uuid"}},
        {
            "name": "reason",
            "type": {
                "type": "enum",
                "name": "CancelReason",
                "symbols": ["CUSTOMER_REQUEST", "OUT_OF_STOCK", "PAYMENT_FAILED"],
            },
        },
    ],
}
STRING, BYTES = "string", "bytes"
_IDS: dict[int, Any] = {1: STRING, 2: BYTES, 3: PLACED, 4: CANCELLED}


def framed(identifier: int, value: object, schema: Any = None) -> bytes:  # noqa: ANN401 - Avro
    """Return a value in Confluent's wire format, by the schema with this id."""
    buffer = BytesIO(b"\0" + identifier.to_bytes(4, "big"))
    buffer.seek(5)
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema or _IDS[identifier]), value)
    return buffer.getvalue()


def order_id(number: int) -> str:
    """Return the id of the order with a number."""
    return str(uuid5(NAMESPACE_URL, f"order {number}"))


def placed(number: int, **changed: object) -> bytes:
    """Return an OrderPlaced of an order, whose total is its number."""
    return framed(
        3,
        {
            "order_id": order_id(number),
            "customer": "Ada",
            "total": Decimal(number) + Decimal("0.50"),
            "placed_at": datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
            "lines": [{"sku": "tea", "quantity": 2}],
            "note": None,
            **changed,
        },
    )


_PRODUCER = {
    "linger.ms": 1,
    "log_level": 0,  # the broker may end before it
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
}


class Topic:
    """One topic, with a producer. It is created unless it `exists` already or later."""

    def __init__(
        self, servers: str, partitions: int = 1, name: str | None = None, *, exists: bool = False
    ) -> None:
        self.servers = servers
        self.name = name or f"outbox.event.order_{uuid4().hex[:8]}"
        self._admin = AdminClient({"bootstrap.servers": servers})
        if not exists:
            make_topic(servers, self.name, partitions=partitions)
        self._producer = Producer({"bootstrap.servers": servers, **_PRODUCER})

    def send(
        self,
        key: str | None,
        value: bytes | None,
        kind: str | None = None,
        identifier: str | None = None,
    ) -> str:
        """Send an event; return its id. Without a type it has no headers."""
        identifier = identifier or str(uuid4())
        headers: dict[str, str | bytes | None] = {}
        if kind:
            headers = {"id": identifier, "type": kind, "commit_lsn": "1234"}
        framed_key = None if key is None else framed(1, key)
        self._producer.produce(self.name, value, framed_key, headers=headers)
        return identifier

    def place(self, *numbers: int) -> None:
        """Send an OrderPlaced for each number, with the number as its key."""
        for number in numbers:
            self.send(str(number), placed(number), "OrderPlaced")
        self.flush()

    def place_under(self, key: str | None, *numbers: int) -> None:
        """Send an OrderPlaced for each number, all of them with one key."""
        for number in numbers:
            self.send(key, placed(number), "OrderPlaced")
        self.flush()

    def flush(self) -> None:
        """Wait until everything that was sent is there."""
        assert self._producer.flush(30) == 0

    def committed(self, group: str) -> int:
        """Return the sum of the offsets that a group has told Kafka."""
        answer = self._admin.list_consumer_group_offsets([_request(group)])[group].result(30)
        return sum(each.offset for each in answer.topic_partitions if each.topic == self.name)


def _request(group: str) -> Any:  # noqa: ANN401 - a type that confluent_kafka exports without stubs
    from confluent_kafka import ConsumerGroupTopicPartitions  # noqa: PLC0415 - as above

    return ConsumerGroupTopicPartitions(group)


class Registry:
    """Answers `GET /schemas/ids/{id}`; what it does not know may be added to `schemas`."""

    def __init__(self) -> None:
        self.schemas: dict[int, Any] = dict(_IDS)
        self.requests: list[int] = []
        self.status: int | None = None  # of every answer
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str) -> tuple[int, object]:
        """Return status and body."""
        identifier = int(urlsplit(path).path.rpartition("/")[2])
        self.requests.append(identifier)
        if self.status:
            return self.status, {}
        if identifier not in self.schemas:
            return 404, {"error_code": 40403, "message": "Schema not found"}
        return 200, {"schema": json.dumps(self.schemas[identifier])}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = registry.answer(self.path)
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        return Handler


@contextmanager
def running_registry() -> Iterator[Registry]:
    """Yield a registry that answers."""
    registry = Registry()
    try:
        yield registry
    finally:
        registry.close()
