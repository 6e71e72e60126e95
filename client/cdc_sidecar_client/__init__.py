"""The code of a service beside cdc-sidecar: `outbox` emits events, `consumer` handles them."""

from cdc_sidecar_client.errors import (
    ConnectionUnknown,
    EventTypeUnknown,
    NotInTransaction,
    OutboxError,
    OutboxMistaken,
    PayloadRefused,
    SchemaMistaken,
    TransactionOpen,
)
from cdc_sidecar_client.outbox import Outbox
from cdc_sidecar_client.position import Position, position, position_async

__all__ = [
    "ConnectionUnknown",
    "EventTypeUnknown",
    "NotInTransaction",
    "Outbox",
    "OutboxError",
    "OutboxMistaken",
    "PayloadRefused",
    "Position",
    "SchemaMistaken",
    "TransactionOpen",
    "position",
    "position_async",
]
