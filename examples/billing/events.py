"""The part of the order service's events that billing uses.

The events have more fields. Those that a class here does not name are left out, so the order
service may add fields at any time.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID


@dataclass(frozen=True, slots=True)
class OrderLine:
    """What was ordered."""

    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    """A customer has placed an order."""

    order_id: UUID
    customer: str
    total: Decimal
    placed_at: datetime
    lines: list[OrderLine]


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    """An order is not delivered."""

    order_id: UUID
    reason: str
