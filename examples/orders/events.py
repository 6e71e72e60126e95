"""The events of the service, as classes. Their schemas are in `schemas/`."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID


class CancelReason(Enum):
    """Why an order is cancelled."""

    CUSTOMER_REQUEST = "CUSTOMER_REQUEST"
    OUT_OF_STOCK = "OUT_OF_STOCK"
    PAYMENT_FAILED = "PAYMENT_FAILED"


@dataclass(frozen=True, slots=True)
class OrderLine:
    """An article, and how many of it."""

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
    note: str | None = None


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    """An order is not delivered."""

    order_id: UUID
    reason: CancelReason
