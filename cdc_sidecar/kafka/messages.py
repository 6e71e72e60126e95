"""Decodes Kafka messages of the service, for `tail` and the demo."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cdc_sidecar.errors import SchemasUnreadable
from cdc_sidecar.events.parking.document import PARKED
from cdc_sidecar.events.reader import EventReader
from cdc_sidecar.kafka.read import Message


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A key or a value that is not Avro with a schema of the service, and the reason."""

    content: bytes
    error: SchemasUnreadable


def _parked(text: str | bytes | None) -> Any:  # noqa: ANN401 - JSON
    """Return what the JSON of a parked event says; of a part only its size."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return f"{len(text)} bytes"


@dataclass(frozen=True, slots=True)
class DecodedMessage:
    """A message of a topic partition.

    `key` and `value` are values that JSON can hold, `Undecodable`, or None for a null of Kafka.
    Headers stay as Kafka holds them; if a name occurs twice, the last value counts.
    """

    topic: str
    partition: int
    offset: int
    key: Any
    value: Any
    headers: Mapping[str, str | bytes | None]


class MessageDecoder:
    """Decodes messages with the schemas of the service."""

    def __init__(self, schema_of: Callable[[int], str | None]) -> None:
        """Decode with `schema_of`, which returns the JSON of a schema by its id."""
        self._reader = EventReader(schema_of)

    def decode(self, message: Message) -> DecodedMessage:
        """Return a message with its key and its value decoded."""
        headers = dict(message.headers() or ())
        read = _parked if PARKED in headers else self._read
        return DecodedMessage(
            message.topic() or "",
            message.partition() or 0,
            message.offset() or 0,
            read(message.key()),
            read(message.value()),
            headers,
        )

    def _read(self, framed: str | bytes | None) -> Any:  # noqa: ANN401 - a value of the schema
        if framed is None:
            return None
        content = framed.encode() if isinstance(framed, str) else framed
        try:
            return self._reader.read(content)
        except SchemasUnreadable as error:
            return Undecodable(content, error)
