"""The sink of an outbox of messages with `on_error = "park"`."""

from typing import Protocol

from cdc_sidecar.errors import OutboxEventRefused, RecordTooLarge
from cdc_sidecar.events.parking.document import Refused
from cdc_sidecar.events.parking.lot import PARKABLE, ParkingLot
from cdc_sidecar.events.ports import SourceTransaction


class Messages(Protocol):
    """Accepts the messages of one prefix."""

    def add(self, transaction: SourceTransaction, content: bytes, /) -> None:
        """Add the event of a message, or raise and leave the transaction as it was."""


class ParkingMessages:
    """Parks the messages of one outbox that are refused."""

    def __init__(self, sink: Messages, lot: ParkingLot) -> None:
        self._sink = sink
        self._lot = lot

    def add(self, transaction: SourceTransaction, content: bytes) -> None:
        """Add the event of a message, or park the message."""
        try:
            self._sink.add(transaction, content)
        except PARKABLE as error:
            refused = (OutboxEventRefused, RecordTooLarge)
            kind = error.event_type if isinstance(error, refused) else ""
            self._lot.park(transaction, Refused("m", content=content, event_type=kind), error)
