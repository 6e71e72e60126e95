"""Reading topics: an internal topic from an offset to its end, and the assignment of others.

For a `read_committed` consumer librdkafka reports the last *stable* offset as the end, both in its
EOF event and in its watermarks. Only an admin request returns the high watermark.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

import confluent_kafka
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from cdc_sidecar.config.model import Kafka
from cdc_sidecar.errors import KafkaUnavailable, TopicMissing
from cdc_sidecar.kafka.client import (
    GROUP,
    PARTITION_EOF,
    REQUEST_TIMEOUT,
    Asked,
    answer_of,
    client_settings,
    translate,
    translated,
)
from cdc_sidecar.kafka.hanging import OffsetRange
from cdc_sidecar.kafka.reason import Reason

Message = confluent_kafka.Message


class Reader(confluent_kafka.Consumer):
    """A consumer that commits nothing, and keeps librdkafka's last reason."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.reason: Reason = settings["logger"]
        super().__init__(settings)


READ_TIMEOUT: Final = 60.0
"""Seconds without a record after which a topic counts as unreadable: as long as a new producer may
take to fence, which also ends the transactions that hold up the reader."""


def high_watermark(admin: AdminClient, topic: str) -> int:
    """Return the offset after the last record of partition 0, committed or not.

    Raises:
        KafkaUnavailable: the brokers do not answer.

    """
    partition = TopicPartition(topic, 0)
    answers = admin.list_offsets(
        {partition: OffsetSpec.latest()},
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=REQUEST_TIMEOUT,
    )
    (answer,) = answers.values()
    return int(answer_of(answer, admin, Asked("Describe", f"topic {topic}")).offset)


def committed_reader(config: Kafka, isolation: str = "read_committed") -> Reader:
    """Return a consumer that commits no offsets and joins no group.

    Raises:
        KafkaSettingInvalid: librdkafka does not accept a setting.

    """
    settings = client_settings(
        config,
        group_id=GROUP,
        enable_auto_commit=False,
        enable_partition_eof=True,
        isolation_level=isolation,
        auto_offset_reset="earliest",
        fetch_wait_max_ms=20,
    )
    with translated():
        return Reader(settings)


def read_records(
    consumer: Reader, topic: str, start: int, high: int | None
) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of the committed records of partition 0; see `read_messages`.

    A record that removes its key has an empty value.
    """
    for message in read_messages(consumer, topic, start, high):
        key, value = message.key(), message.value()
        if isinstance(key, bytes):
            yield key, value if isinstance(value, bytes) else b""


def read_messages(
    consumer: Reader, topic: str, start: int, high: int | None = None
) -> Iterator[Message]:
    """Yield the committed messages of partition 0 from offset `start`.

    With `high` the reader continues until the stable end is at that high watermark: a transaction
    of an earlier producer that was in doubt is then decided. Without it the reader ends at the
    stable end.

    Raises:
        KafkaUnavailable: nothing arrived for too long, or another producer has a transaction open.

    """
    with translated(consumer, Asked("Read", f"topic {topic}")):
        consumer.assign([TopicPartition(topic, 0, start)])
    for message in _arrivals(consumer, lambda: topic):
        if message.error() is None:
            yield message
        elif high is None or (message.offset() or 0) >= high:
            return


def read_places(consumer: Reader, places: Collection[OffsetRange]) -> Iterator[Message]:
    """Yield the messages of some offset ranges, all partitions at once.

    A reader of committed records ends at the stable end of a partition.

    Raises:
        KafkaUnavailable: nothing arrived for too long.

    """
    ends = {place.partition: place.end for place in places}
    if not ends:
        return
    with translated(consumer):
        consumer.assign([TopicPartition(*place.partition, place.start) for place in places])
    for message in _arrivals(consumer, lambda: next(iter(ends))[0]):
        partition = message.topic() or "", message.partition() or 0
        if message.error() is None and (message.offset() or 0) < ends.get(partition, 0):
            yield message
            continue
        ends.pop(partition, None)
        if not ends:
            return


def _arrivals(consumer: Reader, topic: Callable[[], str]) -> Iterator[Message]:
    """Yield records, and where a partition ends for now, as long as records arrive.

    `topic` returns the name of a topic that is still read, for the error.
    """
    deadline = time.monotonic() + READ_TIMEOUT
    while time.monotonic() < deadline:
        asked = Asked("Read", f"topic {topic()}")
        with translated(consumer, asked):
            message = consumer.poll(1.0)
        error = message.error() if message else None
        if message is None or (error and error.code() != PARTITION_EOF and error.retriable()):
            continue
        if error is None:
            deadline = time.monotonic() + READ_TIMEOUT
        elif error.code() != PARTITION_EOF:
            raise translate(error, consumer, asked)
        yield message
    raise _unread(consumer, topic())


def last_of_each_key(records: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield what compaction leaves of a topic: the last record of each key, if it has a value."""
    last: dict[bytes, bytes] = {}
    for key, value in records:
        last.pop(key, None)  # in the order of the last records
        last[key] = value
    yield from ((key, value) for key, value in last.items() if value)


def _unread(consumer: Reader, topic: str) -> KafkaUnavailable:
    known = consumer.reason.text
    return KafkaUnavailable(
        f"topic {topic} was not read to its end within {READ_TIMEOUT:.0f} s"
        + (f": {known}" if known else ""),
        cause="the brokers do not answer, or another producer has a transaction open there",
        hint="start the brokers; `kafka-transactions.sh find-hanging` lists the transactions that"
        " are open for too long",
    )


def assign(consumer: Reader, topics: Iterable[str], *, from_beginning: bool) -> None:
    """Assign every partition of the topics, from the beginning or from now on.

    Raises:
        TopicMissing: a topic does not exist.

    """
    partitions = []
    for name in topics:
        asked = Asked("Read", f"topic {name}")
        with translated(consumer, asked):
            listed = consumer.list_topics(name, timeout=REQUEST_TIMEOUT).topics[name]
        if listed.error is not None:
            raise TopicMissing(name, hint="list the topics with `cdc-sidecar check`")
        for number in listed.partitions:
            partition = TopicPartition(name, number)
            with translated(consumer, asked):
                low, high = consumer.get_watermark_offsets(partition, timeout=REQUEST_TIMEOUT)
            partition.offset = low if from_beginning else high
            partitions.append(partition)
    with translated():
        consumer.assign(partitions)
