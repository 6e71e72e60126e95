"""Logical messages (`pg_logical_emit_message`) with an opted-in prefix, in Debezium's form."""

from typing import Final

from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.events.binary import encode_bytes, encode_string
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.layout import lay_out
from cdc_sidecar.events.names import message_topic
from cdc_sidecar.events.outbox.router import EventRouter
from cdc_sidecar.events.outbox.twin import MessageRouter
from cdc_sidecar.events.parking.lot import ParkingLot
from cdc_sidecar.events.parking.messages import Messages, ParkingMessages
from cdc_sidecar.events.ports import Envelope, SourceTransaction
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.events.schema import canonical_json, message_key_schema, message_schema
from cdc_sidecar.events.twin import Envelope as EnvelopeTwin
from cdc_sidecar.postgres.pgoutput import LogicalMessage

COLLECTION: Final = "message"
"""The name under which messages are counted in a transaction."""

_IGNORED: Final = Count(Counted.IGNORED, COLLECTION)


class MessageSink:
    """Adds logical messages; counts and drops those whose prefix was not opted in."""

    def __init__(
        self, source: Source, capture: Capture, registry: Registry, catalog: Catalog
    ) -> None:
        self._source = source
        self._prefixes = frozenset(capture.prefixes)
        self._outboxes = {
            outbox.prefix: _sink(source.service, outbox, registry, catalog)
            for outbox in capture.outboxes
            if outbox.prefix
        }
        self._registry = registry
        self._catalog = catalog
        self._opened: Envelope | None = None

    def add(self, transaction: SourceTransaction, message: LogicalMessage) -> None:
        """Add an `m` event if the prefix was opted in, or the event of an outbox."""
        if outbox := self._outboxes.get(message.prefix):
            outbox.add(transaction, message.content)
            return
        if message.prefix not in self._prefixes:
            transaction.count(_IGNORED)
            return
        envelope = self._opened or self._open()
        prefix = encode_string(message.prefix)
        content = prefix + encode_bytes(message.content)
        envelope.append(transaction, "m", None, None, content, prefix)

    def _open(self) -> Envelope:
        """Register the schemas before the first message."""
        schema = message_schema()
        schemas = {"key": canonical_json(message_key_schema()), "value": canonical_json(schema)}
        topic = message_topic(self._source.service)
        route = TopicRoute.open(topic, schemas, self._registry, self._catalog)
        layout = lay_out(schema, self._source.constants("", ""), route.value_prefix)
        self._opened = EnvelopeTwin(COLLECTION, route, layout)
        return self._opened


def _sink(service: str, outbox: Outbox, registry: Registry, catalog: Catalog) -> Messages:
    router = EventRouter.of_messages(outbox, registry, catalog)
    sink = MessageRouter(router, outbox.wanted, payload_as=outbox.payload_as)
    if outbox.on_error == "halt":
        return sink
    return ParkingMessages(sink, ParkingLot.of_messages(service, outbox, registry, catalog))
