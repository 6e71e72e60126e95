"""What the service does. Each function is one transaction: the change and its event, or neither."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from cdc_sidecar_client import Outbox

from examples.orders.events import CancelReason, OrderCancelled, OrderLine, OrderPlaced

SCHEMAS = Path(__file__).parent / "schemas"
TABLES = """
CREATE TABLE IF NOT EXISTS orders (
    id       uuid PRIMARY KEY,
    customer text NOT NULL,
    total    numeric(12, 2) NOT NULL,
    status   text NOT NULL DEFAULT 'placed'
)
"""
"""The service's own table. `cdc-sidecar setup-sql --outbox table` prints that of the outbox."""

outbox = Outbox(schemas=SCHEMAS)


class OrderUnknown(LookupError):
    """There is no such order that could be cancelled."""


def place_order(
    connection: psycopg.Connection, customer: str, total: Decimal, lines: list[OrderLine]
) -> UUID:
    """Place an order; return its id.

    Raises:
        PayloadRefused: the event does not fit its schema, so there is no order either.

    """
    order_id = uuid4()
    placed = OrderPlaced(order_id, customer, total, datetime.now(UTC), lines)
    with connection.transaction():
        connection.execute(
            "INSERT INTO orders (id, customer, total) VALUES (%s, %s, %s)",
            (order_id, customer, total),
        )
        outbox.emit(connection, placed, aggregate=("order", order_id))
    return order_id


def cancel_order(connection: psycopg.Connection, order_id: UUID, reason: CancelReason) -> None:
    """Cancel an order.

    Raises:
        OrderUnknown: it does not exist, or is cancelled already.

    """
    with connection.transaction():
        changed = connection.execute(
            "UPDATE orders SET status = 'cancelled' WHERE id = %s AND status = 'placed'",
            (order_id,),
        )
        if not changed.rowcount:
            raise OrderUnknown(f"no order {order_id} that is placed")
        cancelled = OrderCancelled(order_id, reason)
        outbox.emit(connection, cancelled, aggregate=("order", order_id))
