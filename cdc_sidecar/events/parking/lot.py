"""The topic of parked events of one table or outbox."""

import hashlib
import json
from typing import Final

from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.errors import (
    OutboxEventRefused,
    OutboxUnroutable,
    PayloadRefused,
    RecordTooLarge,
    SidecarError,
    TopicUnfit,
    Unrepresentable,
)
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.names import parked_messages_topic
from cdc_sidecar.events.parking.document import (
    PARKED,
    PART,
    ParkedOrigin,
    Refused,
    divide,
    encode_document,
    encode_key,
)
from cdc_sidecar.events.parking.note import ParkedNote
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.record import Headers
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.events.route import TopicRoute

PARKABLE: Final = (Unrepresentable, RecordTooLarge, OutboxEventRefused)
"""The errors of one event, which `on_error` decides about. Every other error halts."""
CODES_OF_TABLES: Final = (Unrepresentable.code, RecordTooLarge.code)
CODES_OF_OUTBOXES: Final = (
    *CODES_OF_TABLES,
    OutboxUnroutable.code,
    PayloadRefused.code,
)
"""The codes of these errors, as far as tables and outboxes have them."""
_OVERHEAD: Final = 1024
"""Bytes kept free below `max.message.bytes`: as for events of an outbox, which have headers too."""
_LONGEST_KEY: Final = 8192
"""Bytes: a longer key is replaced by its hash, so that a record has room for a part."""
_HEADERS: Final = 64
"""Bytes of the values of the headers of a part, at most."""
SMALLEST_PARKED: Final = 2 * _LONGEST_KEY + _OVERHEAD
"""Bytes that a topic of parked events must take: a key, and a part of an event."""
_HASH_DIGITS: Final = 16


class ParkingLot:
    """Adds parked events to a source transaction, and so to its Kafka transaction."""

    def __init__(
        self, origin: ParkedOrigin, topic: str, registry: Registry, catalog: Catalog
    ) -> None:
        """Park events of `origin` in `topic`, which is asked for before the first one."""
        self._origin = origin
        self._topic = topic
        self._registry, self._catalog = registry, catalog
        self._route: TopicRoute | None = None

    @classmethod
    def of_messages(
        cls, service: str, outbox: Outbox, registry: Registry, catalog: Catalog
    ) -> "ParkingLot":
        """Return the parking of an outbox without a table."""
        origin = ParkedOrigin(service, outbox.name, "outbox", outbox.topic)
        topic = parked_messages_topic(service, outbox.name)
        return cls(origin, topic, registry, catalog)

    def park(self, transaction: SourceTransaction, refused: Refused, error: SidecarError) -> None:
        """Add a change that was refused with `error`.

        Raises:
            SidecarError: the topic does not exist, or is too small for any part.

        """
        key = encode_key(refused.key)
        digest = hashlib.sha256(key or b"").hexdigest()
        if key is not None and len(key) > _LONGEST_KEY:
            key = json.dumps({"sha256": digest}).encode()
        self._add(transaction, key, refused, error)
        note = ParkedNote(
            self._origin.name,
            error.code,
            refused.event_type,
            transaction.final_lsn,
            transaction.lsn,
            digest[:_HASH_DIGITS],
        )
        transaction.parked.append(note)

    def _add(
        self,
        transaction: SourceTransaction,
        key: bytes | None,
        refused: Refused,
        error: SidecarError,
    ) -> None:
        """Add the records of the document."""
        route = self._route = self._route or self._open()
        headers: Headers = [(PARKED, error.code.encode())]
        document = encode_document(self._origin, transaction, refused, error)
        room = route.limit - len(key or b"") - _HEADERS
        parts = divide(document, room)
        for number, part in enumerate(parts, 1):
            place = [(PART, b"%d/%d" % (number, len(parts)))] if len(parts) > 1 else []
            transaction.add(route.record(part, key, 0, headers + place))

    def _open(self) -> TopicRoute:
        """Ask for the topic.

        Raises:
            TopicUnfit: it is too small for a part of an event.

        """
        route = TopicRoute.open(
            self._topic, {}, self._registry, self._catalog, overhead=_OVERHEAD, parked=True
        )
        if route.limit < SMALLEST_PARKED - _OVERHEAD:  # it was altered since the start
            raise TopicUnfit(
                f"topic {self._topic} takes {route.limit} bytes, too few for a part of a parked"
                " event",
                hint=route.too_large(SMALLEST_PARKED).hint,
            )
        return route
