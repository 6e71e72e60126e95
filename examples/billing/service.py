"""The handlers: what billing does with an event, in the transaction that also moves its offset."""

import os

from cdc_sidecar_client.consumer import Consumer, Event, Transaction

from examples.billing.events import OrderCancelled, OrderPlaced

DATABASE = os.environ.get("BILLING_DATABASE", "dbname=billing")
# A member that is started again under its name gets its partitions at once. Others wait until Kafka
# misses the one that was killed, which takes 45 seconds.
INSTANCE = os.environ.get("BILLING_INSTANCE", "billing-1")

consumer = Consumer(
    os.environ.get("BILLING_GROUP", "billing"),
    topics=[os.environ.get("ORDER_TOPIC", "outbox.event.order")],
    bootstrap_servers=os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
    registry=os.environ.get("SCHEMA_REGISTRY", "http://localhost:9464"),
    database=DATABASE,
    kafka={"group.instance.id": INSTANCE},
)


@consumer.handler("OrderPlaced")
def write_invoice(transaction: Transaction, order: OrderPlaced) -> None:
    """Write the invoice of an order."""
    transaction.execute(
        "INSERT INTO invoices (order_id, customer, total, placed_at) VALUES (%s, %s, %s, %s)",
        (order.order_id, order.customer, order.total, order.placed_at),
    )
    with transaction.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO invoice_lines (order_id, line, sku, quantity) VALUES (%s, %s, %s, %s)",
            [
                (order.order_id, number, line.sku, line.quantity)
                for number, line in enumerate(order.lines, 1)
            ],
        )


@consumer.handler("OrderCancelled")
def void_invoice(transaction: Transaction, event: Event[OrderCancelled]) -> None:
    """Void the invoice of a cancelled order. Events of one order arrive in their order."""
    cancelled = event.payload
    changed = transaction.execute(
        "UPDATE invoices SET void_since = %s, void_because = %s WHERE order_id = %s",
        (event.timestamp, cancelled.reason, cancelled.order_id),
    )
    if changed.rowcount == 0:
        raise LookupError(f"order {cancelled.order_id} has no invoice")
