"""Reads the topics of parked events from their beginning to their present end."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cdc_sidecar.config.model import Config, Kafka
from cdc_sidecar.events.parking.document import PARKED, PART, Documents
from cdc_sidecar.kafka.client import REQUEST_TIMEOUT, admin_client, translated
from cdc_sidecar.kafka.event_topics import EventTopics
from cdc_sidecar.kafka.read import Message, committed_reader, read_messages


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """A parked event with the place of its last record; `document` is as `document.py` has it."""

    topic: str
    offset: int
    document: dict[str, Any]


def existing_parked_topics(config: Config) -> list[str]:
    """Return the topics of the service's parked events that exist, and that we may see.

    Raises:
        KafkaUnavailable: the brokers do not answer.

    """
    with translated():
        listed = admin_client(config.kafka).list_topics(timeout=REQUEST_TIMEOUT).topics
    return sorted(filter(EventTopics(config).may_hold_parked, listed))


def read_parked(config: Kafka, topics: Iterable[str]) -> Iterator[ParkedEvent]:
    """Yield the parked events of these topics, each topic in the order of their commits.

    Records that somebody else has written are passed over.

    Raises:
        KafkaUnavailable: the brokers do not answer, or another producer has a transaction open.

    """
    reader = committed_reader(config)
    try:
        for topic in topics:
            documents = Documents()
            for message in read_messages(reader, topic, 0):
                document = _document(documents, message)
                if document:
                    yield ParkedEvent(topic, message.offset() or 0, document)
    finally:
        reader.close()


def _document(documents: Documents, message: Message) -> dict[str, Any] | None:
    """Return the document that a record completes; None for a part, or for what is not ours."""
    headers, value = dict(message.headers() or ()), message.value()
    if PARKED not in headers or not isinstance(value, bytes):
        return None
    part = headers.get(PART) or b""
    return documents.add(value, part.decode(errors="replace") if isinstance(part, bytes) else part)
