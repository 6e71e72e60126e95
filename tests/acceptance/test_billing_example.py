"""The billing service of the examples reads typed events from a sidecar."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg

from cdc_sidecar.operations.outbox_sql import outbox_sql
from cdc_sidecar.servers.postgres import PostgresServer
from examples.orders.service import SCHEMAS
from tests.acceptance.conftest import MARKS, Service
from tests.client.billing_topic import CANCELLED, PLACED
from tests.conftest import new_database
from tests.waiting import await_true

_ROOT = Path(__file__).parents[2]
_OUTBOX = """
[[outboxes]]
prefix = "events"
topic = "out.{name}.{{aggregatetype}}"
payload = "avro"
[outboxes.events.OrderPlaced]
schema = "placed.avsc"
[outboxes.events.OrderCancelled]
schema = "cancelled.avsc"
"""


def _configure(service: Service) -> None:
    folder = service.sidecar.config.parent
    (folder / "placed.avsc").write_text(json.dumps(PLACED))
    (folder / "cancelled.avsc").write_text(json.dumps(CANCELLED))
    with service.sidecar.config.open("a") as config:
        config.write(MARKS + _OUTBOX.format(name=service.name))
    service.sql("CREATE PUBLICATION cdc FOR ALL TABLES")
    service.sidecar.start_and_stream()


def _emit(service: Service, order: str, kind: str, **payload: object) -> None:
    names = {"id": str(uuid4()), "aggregatetype": "order", "aggregateid": order, "type": kind}
    message = json.dumps({**names, "payload": {"order_id": order, **payload}})
    with psycopg.connect(service.dsn) as connection:
        connection.execute("SELECT pg_logical_emit_message(true, 'events', %s)", [message])


def _place(service: Service, order: str) -> None:
    lines = [{"sku": "tea", "quantity": 2}, {"sku": "cup", "quantity": 1}]
    facts = {"customer": "Ada", "total": "12.30", "placed_at": "2026-01-02T03:04:05.000006Z"}
    _emit(service, order, "OrderPlaced", **facts, lines=lines, note=None)


def _environment(service: Service, database: str) -> dict[str, str]:
    return {
        **os.environ,
        "BILLING_DATABASE": database,
        "BILLING_GROUP": service.name,
        "ORDER_TOPIC": f"out.{service.name}.order",
        "KAFKA_BOOTSTRAP_SERVERS": service.kafka,
        "SCHEMA_REGISTRY": f"http://127.0.0.1:{service.sidecar.port}",
    }


@contextmanager
def _billing(service: Service, database: str) -> Iterator[None]:
    """Create the tables of the service, run it during the block, and stop it in order."""
    environment = _environment(service, database)
    command = [sys.executable, "-m", "examples.billing"]
    subprocess.run([*command, "migrate"], cwd=_ROOT, env=environment, check=True)
    with subprocess.Popen(command, cwd=_ROOT, env=environment) as process:
        try:
            yield
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()


def _rows(database: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def test_billing_writes_and_voids_invoices_from_the_events_of_a_sidecar(
    make_service: Callable[..., Service], postgres: PostgresServer
) -> None:
    service = make_service("")
    _configure(service)
    kept, cancelled = str(uuid4()), str(uuid4())
    _place(service, kept)
    _place(service, cancelled)
    _emit(service, cancelled, "OrderCancelled", reason="PAYMENT_FAILED")
    voided = "SELECT order_id::text FROM invoices WHERE void_because = 'PAYMENT_FAILED'"
    facts = "SELECT total::text, (placed_at AT TIME ZONE 'UTC')::text FROM invoices"
    invoice = ("12.30", "2026-01-02 03:04:05.000006")
    with new_database(postgres) as database:
        with _billing(service, database):
            await_true(lambda: _rows(database, voided) == [(cancelled,)], what="a void invoice")
            await_true(lambda: _rows(database, facts) == [invoice] * 2, what="both invoices")
        assert _rows(database, "SELECT sum(quantity) FROM invoice_lines") == [(6,)]


_ORDERS = """
[[outboxes]]
table = "public.outbox"
topic = "out.{name}.{{aggregatetype}}"
payload = "avro"
prune = "1s"
[outboxes.events.OrderPlaced]
schema = "{schemas}/OrderPlaced.avsc"
[outboxes.events.OrderCancelled]
schema = "{schemas}/OrderCancelled.avsc"
"""


def test_the_orders_of_one_service_are_the_invoices_of_the_other(
    make_service: Callable[..., Service], postgres: PostgresServer
) -> None:
    service = make_service("")
    with service.sidecar.config.open("a") as config:
        config.write(MARKS + _ORDERS.format(name=service.name, schemas=SCHEMAS))
    sql = outbox_sql("table", table="public.outbox", role="postgres", prunes=True)
    service.sql(sql, "CREATE PUBLICATION cdc FOR TABLE outbox")
    service.sidecar.start_and_stream()
    orders = [sys.executable, "-m", "examples.orders", service.dsn]
    subprocess.run(orders, cwd=_ROOT, check=True)
    kept = str(_rows(service.dsn, "SELECT id FROM orders WHERE status = 'placed'")[0][0])
    query = "SELECT order_id::text, total::text, void_because FROM invoices ORDER BY total DESC"
    with new_database(postgres) as database, _billing(service, database):
        await_true(
            lambda: (
                [row[1:] for row in _rows(database, query)]
                == [("31.40", None), ("12.50", "OUT_OF_STOCK")]
            ),
            what="an invoice for each order",
        )
        assert _rows(database, query)[0][0] == kept
    await_true(
        lambda: _rows(service.dsn, "SELECT count(*) FROM outbox") == [(0,)], what="an empty outbox"
    )
