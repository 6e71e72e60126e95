"""Turns a decoded message into the event that the verdict compares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cdc_sidecar.demo.shop import key_of
from cdc_sidecar.demo.verdict import OUTBOX, TOMBSTONE, Event, Row
from cdc_sidecar.kafka.messages import DecodedMessage, Undecodable


@dataclass(frozen=True, slots=True)
class Received:
    """An event and its commit time in seconds since 1970, which only events of tables carry."""

    event: Event
    committed_at: float | None


def received(message: DecodedMessage) -> Received:
    """Return the event of a message.

    Raises:
        SchemasUnreadable: key or value is not Avro with a schema of the service.

    """
    for part in (message.key, message.value):
        if isinstance(part, Undecodable):
            raise part.error
    if "id" in message.headers:
        return Received(_outbox_event(message), None)
    key = key_of([_text(part) for part in (message.key or {}).values()])
    if message.value is None:
        return Received(Event(message.topic, key, TOMBSTONE, TOMBSTONE), None)
    committed_at = message.value["source"]["ts_us"] / 1_000_000
    return Received(_table_event(message.topic, key, message.value), committed_at)


def _outbox_event(message: DecodedMessage) -> Event:
    after = {"type": _text(message.headers["type"]), "payload": _text(message.value)}
    identity = _text(message.headers["id"]) or ""
    return Event(message.topic, key_of([_text(message.key)]), identity, OUTBOX, after=after)


def _table_event(topic: str, key: str, value: Mapping[str, Any]) -> Event:
    identity = f"{value['source']['commit_lsn']}/{value['transaction']['total_order']}"
    before, after = _row(value["before"]), _row(value["after"])
    return Event(topic, key, identity, value["op"], before, after, tuple(value["unchanged"]))


def _row(values: Mapping[str, Any] | None) -> Row | None:
    return values and {name: _text(value) for name, value in values.items()}


def _text(value: Any) -> str | None:  # noqa: ANN401 - a value that the reader returned
    """Spell a value as Postgres does."""
    match value:
        case None:
            return None
        case bool():
            return "t" if value else "f"
        case bytes():
            return value.decode()
        case _:
            return str(value)
