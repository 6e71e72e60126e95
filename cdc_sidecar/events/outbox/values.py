"""The values of outbox events: the payload, with or without additional columns beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cdc_sidecar.config.outbox import TYPE_VERSION, Outbox
from cdc_sidecar.errors import PayloadRefused
from cdc_sidecar.events import twin
from cdc_sidecar.events.binary import NULL, SOME, encode_bytes
from cdc_sidecar.events.names import avro_name
from cdc_sidecar.events.outbox.event_types import EventSchema, event_schemas
from cdc_sidecar.events.payload.json_text import PayloadMisfit
from cdc_sidecar.events.ports import PayloadEncoder
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.events.schema import BYTES, STRING, canonical_json, wire_prefix

Fields = Sequence[bytes | None]
"""The texts of the additional columns, in the order of the configuration."""
_FRAME: Final = 5  # bytes of Confluent's frame: 0, and the id of the schema


@dataclass(frozen=True, slots=True)
class OpenValues:
    """How a compiled twin makes values itself: behind a frame, encoded by an encoder or a length.

    Without a `prefix` the frame is that of the topic, and without an `encoder` the payload is
    copied, behind its length if `sized`.
    """

    prefix: bytes | None
    encoder: PayloadEncoder | None
    sized: bool


class Values(Protocol):
    """Makes the value of an event; `schema` is that of the topic's values, None if there is none.

    The event type is that by which a schema is found; the payload is None for NULL.
    """

    schema: str | None

    def encode(
        self, route: TopicRoute, event_type: str, payload: bytes | None, fields: Fields, /
    ) -> bytes | None:
        """Return the value, None for a tombstone.

        Raises:
            PayloadRefused: the payload does not fit the schema of its event type.

        """

    def open_values(self, event_type: str, /) -> OpenValues | None:
        """Return how a twin may make the values of an event type; None: not at all, or not yet."""


def values_of(outbox: Outbox, registry: Registry, *, binary: bool) -> Values:
    """Return the values of an outbox whose payloads are bytes or text."""
    fields = tuple(outbox.envelope)
    if outbox.payload == "raw":
        return PlainValues(None, bytes, OpenValues(None, None, sized=False))
    if outbox.payload == "avro":
        return FramedValues() if binary else AvroValues(outbox, registry)
    schema = BYTES if binary else STRING
    if fields:
        return EnvelopeValues(schema, fields)
    return PlainValues(schema, encode_bytes, OpenValues(None, None, sized=True))


class PlainValues:
    """The payload alone."""

    def __init__(
        self, schema: str | None, encode: Callable[[bytes], bytes], opened: OpenValues
    ) -> None:
        self.schema = schema
        self._encode = encode
        self._opened = opened

    def open_values(self, _type: str) -> OpenValues | None:
        """Return the same for every event type."""
        return self._opened

    def encode(
        self, route: TopicRoute, _type: str, payload: bytes | None, _fields: Fields
    ) -> bytes | None:
        """Return the payload behind its frame, if it has one."""
        return None if payload is None else route.value_prefix + self._encode(payload)


class EnvelopeValues:
    """A record of the payload and additional columns."""

    def __init__(self, schema: str, fields: Sequence[str]) -> None:
        self.schema: str | None = _envelope("Envelope", "cdc_sidecar.outbox", schema, fields)

    def encode(
        self, route: TopicRoute, _type: str, payload: bytes | None, fields: Fields
    ) -> bytes | None:
        """Return the record behind its frame."""
        inner = NULL if payload is None else SOME + encode_bytes(payload)
        return route.value_prefix + inner + _encode_fields(fields)

    def open_values(self, _type: str) -> OpenValues | None:
        """Return None: an envelope has more than the payload."""
        return None


class FramedValues:
    """Payloads that are framed Avro already, by a registry client of the service."""

    schema: str | None = None

    def encode(
        self, _route: TopicRoute, event_type: str, payload: bytes | None, _fields: Fields
    ) -> bytes | None:
        """Return the payload as it is."""
        if payload is not None and (len(payload) < _FRAME or payload[0]):
            raise PayloadRefused(
                f"the payload of a {event_type} event is not framed Avro: a byte 0, and the id of"
                " the schema in four bytes",
                hint='write what a serializer of Confluent returns; or set payload = "framed"',
            )
        return payload

    def open_values(self, _type: str) -> OpenValues | None:
        """Return None: the frame is checked."""
        return None


class AvroValues:
    """Payloads in JSON, which become Avro by the schemas of their event types."""

    schema: str | None = None

    def __init__(self, outbox: Outbox, registry: Registry) -> None:
        self._outbox, self._fields = outbox, tuple(outbox.envelope)
        self._registry = registry
        self._schemas = {schema.name: schema for schema in event_schemas(outbox)}
        self._open: dict[str, tuple[bytes, PayloadEncoder]] = {}

    def encode(
        self, _route: TopicRoute, event_type: str, payload: bytes | None, fields: Fields
    ) -> bytes | None:
        """Return the payload in Avro behind the frame of its event type's schema."""
        prefix, encoder = self._open.get(event_type) or self._register(event_type)
        if payload is None:
            return prefix + NULL + _encode_fields(fields) if self._fields else None
        try:
            encoded = encoder.encode(payload)
        except PayloadMisfit as error:
            raise _refusal(event_type, error) from None
        if self._fields:
            return prefix + SOME + encoded + _encode_fields(fields)
        return prefix + encoded

    def open_values(self, event_type: str) -> OpenValues | None:
        """Return the frame and the encoder of an event type that has occurred."""
        opened = self._open.get(event_type)
        return OpenValues(*opened, sized=False) if opened else None

    def _register(self, event_type: str) -> tuple[bytes, PayloadEncoder]:
        event = self._schemas.get(event_type)
        if event is None:
            raise _unknown(event_type, self._outbox)
        subject, schema = event.subject, event.schema
        if self._fields:
            subject, schema = _enveloped(event, self._fields)
        identifier = self._registry.register(subject, schema)
        opened = wire_prefix(identifier), twin.PayloadEncoder(event.plan)
        self._open[event_type] = opened
        return opened


def _enveloped(event: EventSchema, fields: Sequence[str]) -> tuple[str, str]:
    """Return subject and schema of an event type's payload with additional columns."""
    namespace, _, name = event.subject.rpartition(".")
    schema = _envelope(f"{name}Envelope", namespace, event.schema, fields)
    return f"{event.subject}Envelope", schema


def _envelope(name: str, namespace: str, payload: str, fields: Sequence[str]) -> str:
    """Return the schema of an envelope; `payload` is JSON."""
    text = ["null", "string"]
    more = [{"name": avro_name(field), "type": text, "default": None} for field in fields]
    inner = {"name": "payload", "type": ["null", "@"], "default": None}
    place = {"namespace": namespace} if namespace else {}
    schema = {"type": "record", "name": name, **place, "fields": [inner, *more]}
    return canonical_json(schema).replace('"@"', payload, 1)


def _encode_fields(fields: Fields) -> bytes:
    return b"".join(NULL if text is None else SOME + encode_bytes(text) for text in fields)


def _refusal(event_type: str, error: PayloadMisfit) -> PayloadRefused:
    return PayloadRefused(
        f"{error.path} {error.reason}",
        where=f"payload of event type {event_type}",
        cause="the service wrote an event that its schema does not allow",
        hint="let the service check payloads before it writes them (cdc-sidecar-client does), and"
        f' correct the schema in [outboxes.events."{event_type}"] or the row',
    )


def _unknown(event_type: str, outbox: Outbox) -> PayloadRefused:
    version = f'{event_type}{TYPE_VERSION}1" or "' if outbox.columns.version else ""
    return PayloadRefused(
        f"event type {event_type} has no schema",
        cause=f"known are {', '.join(outbox.events)}",
        hint=f'add [outboxes.events."{version}{event_type}"] with its schema, and restart',
    )
