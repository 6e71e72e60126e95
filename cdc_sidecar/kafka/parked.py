"""Reads the topics of parked events from their beginning to their present end."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cdc_sidecar.config.model import Config, Kafka
from cdc_sidecar.errors import KafkaUnavailable
from cdc_sidecar.events.names import is_parked_topic
from cdc_sidecar.events.parking.document import PARKED, PART, Documents
from cdc_sidecar.kafka.client import PARTITION_EOF, REQUEST_TIMEOUT, admin_client, translated
from cdc_sidecar.kafka.event_topics import EventTopics
from cdc_sidecar.kafka.following import is_record
from cdc_sidecar.kafka.read import READ_TIMEOUT, Message, Reader, assign, committed_reader


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """A parked event with the place of its last record; `document` is as `document.py` has it."""

    topic: str
    partition: int
    offset: int
    document: dict[str, Any]


def parked_topics(config: Config) -> list[str]:
    """Return the topics of the service's parked events that exist.

    Raises:
        KafkaUnavailable: the brokers do not answer.

    """
    with translated():
        listed = admin_client(config.kafka).list_topics(timeout=REQUEST_TIMEOUT).topics
    events = EventTopics(config)
    return sorted(name for name in listed if is_parked_topic(name) and events.may_hold(name))


def read_parked(config: Kafka, topics: Iterable[str]) -> Iterator[ParkedEvent]:
    """Yield the parked events of these topics, each topic in the order of their commits.

    Raises:
        KafkaUnavailable: the brokers do not answer, or another producer has a transaction open.

    """
    reader = committed_reader(config)
    try:
        for topic in topics:
            assign(reader, [topic], from_beginning=True)
            yield from _read(reader, topic)
    finally:
        reader.close()


def _read(reader: Reader, topic: str) -> Iterator[ParkedEvent]:
    documents = Documents()
    with translated(reader):
        left = {each.partition for each in reader.assignment()}
    deadline = time.monotonic() + READ_TIMEOUT
    while left:
        with translated(reader):
            message = reader.poll(0.2)
        if message is None:
            if time.monotonic() > deadline:
                raise KafkaUnavailable(f"topic {topic} was not read to its end")
            continue
        if is_record(message):
            deadline = time.monotonic() + READ_TIMEOUT
            event = _event(documents, message)
            if event:
                yield event
        elif _is_end(message):
            left.discard(message.partition() or 0)


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == PARTITION_EOF


def _event(documents: Documents, message: Message) -> ParkedEvent | None:
    """Return the event that a record completes; None for a part, or for what is not ours."""
    headers = dict(message.headers() or ())
    value = message.value()
    if PARKED not in headers or not isinstance(value, bytes):
        return None
    topic, partition = message.topic() or "", message.partition() or 0
    part = headers.get(PART) or b""
    text = part.decode() if isinstance(part, bytes) else part
    document = documents.add((topic, partition), value, text)
    if document is None:
        return None
    return ParkedEvent(topic, partition, message.offset() or 0, document)
