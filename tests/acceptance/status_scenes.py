"""States of a sidecar that the status page must show, made with real servers."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.waiting import await_true

Maker = Callable[..., Service]
_OUTBOX = '[[outboxes]]\ntable = "public.outbox"\n'
_SHOP = (
    "CREATE TABLE orders (id bigserial PRIMARY KEY, total int, status text)",
    "CREATE TABLE order_lines (id bigserial PRIMARY KEY, item text, price int)",
    "CREATE TABLE customers (id bigserial PRIMARY KEY, name text)",
    "CREATE TABLE payments (id bigserial PRIMARY KEY, amount int)",
    """CREATE TABLE outbox (id uuid DEFAULT gen_random_uuid() PRIMARY KEY, aggregatetype text,
                            aggregateid text, type text, payload jsonb)""",
    "CREATE PUBLICATION cdc FOR ALL TABLES",
)
ORDER = (
    "INSERT INTO orders (total, status) SELECT n, 'new' FROM generate_series(1, {count}) n",
    "UPDATE orders SET status = 'paid' WHERE id % 5 = 0 AND status = 'new'",
    "INSERT INTO order_lines (item, price) SELECT 'book', n FROM generate_series(1, {count}) n",
    """INSERT INTO outbox (aggregatetype, aggregateid, type, payload)
       VALUES ('order', '7', 'OrderPlaced', '{{}}')""",
)
"""Statements that change the tables of the shop; `count` is the number of orders."""


def shop(make: Maker, name: str | None = None, **replaced: str) -> Service:
    """Return a service with four tables and an outbox; its sidecar is not started."""
    service = make(TABLES + _OUTBOX + MARKS, name=name, **replaced)
    service.sql(*_SHOP)
    return service


def await_slot_seen(service: Service) -> None:
    """Wait until the sidecar has looked at its slot."""
    await_true(
        lambda: ((service.sidecar.status() or {}).get("slot") or {}).get("seen_at"),
        what="the first look at the slot",
    )


def place_orders(service: Service, count: int = 1) -> None:
    """Change tables and emit an event."""
    service.sql(*(statement.format(count=count) for statement in ORDER))


@contextmanager
def orders_placed(service: Service, counts: Iterator[int], pause: float) -> Iterator[None]:
    """Change tables every `pause` seconds until the end of the block."""
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(pause):
            place_orders(service, next(counts))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


@contextmanager
def kafka_frozen(service: Service, kafka: KafkaBroker) -> Iterator[None]:
    """Let the broker answer nothing until the end of the block; the sidecar has noticed."""
    os.kill(kafka.pid, signal.SIGSTOP)
    try:
        place_orders(service, 40)
        await_true(lambda: service.sidecar.get("/readyz")[0] == 503, what="Kafka is missed")
        yield
    finally:
        os.kill(kafka.pid, signal.SIGCONT)


def standby_of(leader: Service, make: Maker) -> Service:
    """Return a second sidecar of the same service, which waits."""
    waiting = make(TABLES + _OUTBOX + MARKS, name=leader.name)
    waiting.sidecar.start()
    waiting.sidecar.await_phase("waiting")
    return waiting


def halted(make: Maker, name: str | None = None) -> Service:
    """Return a sidecar that stays after its halt: a configured table does not exist."""
    absent = '\n[[tables]]\nname = "public.invoices"\ncolumns = ["*"]\n'
    service = make(f'{absent}[shutdown]\non_halt = "stay"\n', name=name)
    service.sql("CREATE PUBLICATION cdc")
    service.sidecar.start()
    await_true(lambda: (service.sidecar.status() or {}).get("phase") == "halted", what="the halt")
    return service


def reading_snapshot(make: Maker, name: str | None = None) -> Service:
    """Return a sidecar in the middle of a snapshot that takes minutes."""
    slowly = 'mode = "initial"\nchunk_rows = 50\nmax_rows_per_second = 200'
    service = shop(make, name, **{'mode = "never"': slowly})
    service.sql("INSERT INTO customers (name) SELECT 'x' FROM generate_series(1, 40000)", "ANALYZE")
    service.sidecar.start_and_stream()

    def begun() -> bool:
        tables = ((service.sidecar.status() or {}).get("snapshot") or {}).get("tables", ())
        return any(0 < table["rows"] < table["estimated_rows"] for table in tables)

    await_true(begun, what="rows of the snapshot")
    return service
