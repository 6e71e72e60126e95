"""A record of Kafka as bytes, and the event that is decoded from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

from confluent_kafka import Message

P = TypeVar("P")
TOMBSTONE = "tombstone"
"""The type of a record without a value and without a header `type`: it follows a deleted row."""


@dataclass(frozen=True, slots=True)
class Record:
    """The bytes of a record and its place. `timestamp` is in milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    def header(self, name: str) -> str | None:
        """Return the text of a header, or None if the record has no such header."""
        found = next((value for header, value in self.headers if header == name), None)
        return None if found is None else found.decode(errors="replace")

    @classmethod
    def of(cls, message: Message) -> "Record":
        """Return the record of a message that is not an error."""
        headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
        return cls(
            message.topic() or "",
            message.partition() or 0,
            message.offset() or 0,
            message.timestamp()[1],
            _bytes(message.key()),
            _bytes(message.value()),
            tuple((name, value or b"") for name, value in headers),
        )


@dataclass(frozen=True, slots=True)
class Event(Generic[P]):
    """One event.

    Attributes:
        id: the header `id` of an outbox event; `commit_lsn:total_order` of a table event; None if
            it has neither.
        type: the header `type` of an outbox event; the `op` of a table event; `"tombstone"`.
        topic: the topic, which names the aggregate type or the table.
        partition: the partition of the topic.
        offset: the offset in the partition.
        key: the aggregate id, or the key of the row as a dict.
        payload: the payload, converted if the handler asks for `Event[SomeType]`; None for a
            tombstone; the whole envelope of a table event.
        commit_lsn: the LSN of the source transaction's commit.
        headers: all headers as text, `traceparent` among them.
        timestamp: the time of the record, in UTC.

    """

    id: str | None
    type: str | None
    topic: str
    partition: int
    offset: int
    key: Any
    payload: P
    commit_lsn: int | None
    headers: Mapping[str, str]
    timestamp: datetime


def _bytes(part: str | bytes | None) -> bytes | None:
    return part.encode() if isinstance(part, str) else part
