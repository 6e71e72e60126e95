"""The frames of table `orders`, and what tests of the assembler read from its events."""

from typing import Any

from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.postgres.pgoutput import ReplicaIdentity
from tests.unit import shop, wire
from tests.unit.shop import ORDER_ROW, ORDERS, TEXT, Shop, layout

OID = ORDERS.oid
TOPIC = "shop.public.orders"
DESCRIBE = wire.relation(ORDERS.relation)
INSERT = wire.insert(OID, ORDER_ROW)

ROW = {"id": 1, "status": "paid", "total": "12.50", "placed_at": "2024-02-29 10:11:12.5+00"}
"""The row of `INSERT`, as a consumer reads it."""

NULLS = {"status": None, "total": None, "placed_at": None}
"""The columns that are not in the key, where only the key was sent."""

LOGS = layout("logs", {"what": TEXT}, oid=16390, identity=ReplicaIdentity.FULL)
"""A second table, which has no key."""


def capture_orders(**settings: object) -> Shop:
    """Begin a session that captures `public.orders`."""
    return Shop(ORDERS, tables=[shop.table("public.orders", **settings)])


def count_of(op: str) -> Count:
    """Return what is counted for an event of `public.orders`."""
    return Count(Counted.EVENTS, "public.orders", op)


def order_key(number: int) -> dict[str, int]:
    """Return the key of an order, as a consumer reads it."""
    return {"id": number}


def op_before_after(values: list[Any]) -> list[tuple[Any, ...]]:
    """Return op, before and after of each event; None for a tombstone."""
    return [value and (value["op"], value["before"], value["after"]) for value in values]


def message_with(prefix: str = "audit", lsn: int = 4242, *, transactional: bool = True) -> bytes:
    """Write a Message with a prefix."""
    return wire.logical_message(prefix, b"\x00hi", lsn, transactional=transactional)
