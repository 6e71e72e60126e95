"""A record as it goes to Kafka. The compiled envelope makes its own, with the same fields."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

ANY_PARTITION: Final = -1
"""librdkafka's RD_KAFKA_PARTITION_UA: the partitioner chooses by the key."""

NOW: Final = 0
"""librdkafka's time of a record that has none of its own."""

Headers = list[tuple[str, bytes]]


@dataclass(slots=True)
class Record:
    """One record for one topic; without a value it is a tombstone.

    A record is never changed. The class is not frozen, because creating a frozen one takes three
    times as long.
    """

    topic: str
    value: bytes | None
    key: bytes | None
    partition: int = ANY_PARTITION
    headers: Headers | None = None
    timestamp: int = NOW  # milliseconds since 1970

    @property
    def size(self) -> int:
        """Bytes of key, value and header values."""
        size = len(self.value) if self.value else 0
        if self.key:
            size += len(self.key)
        if self.headers:
            for _, text in self.headers:
                size += len(text)
        return size

    @property
    def batch_topic(self) -> str | None:
        """The topic, if the record can be produced in one call with others; else None.

        `produce_batch` takes no headers. Records with a partition of their own are rare and go
        alone.
        """
        alone = self.headers or self.timestamp or self.partition != ANY_PARTITION
        return None if alone else self.topic


def runs_of(records: Iterable[Record]) -> list[tuple[str | None, list[Record]]]:
    """Divide records into runs of one topic, each of which can be produced in one call.

    The records of a run without a topic must be produced one by one.
    """
    return [(topic, list(run)) for topic, run in groupby(records, attrgetter("batch_topic"))]


def messages_of(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return the records of one topic as `confluent_kafka.Producer.produce_batch` takes them."""
    return [{"value": record.value, "key": record.key} for record in records]


def produce_each(produce: Callable[..., object], records: Sequence[Record], at: int) -> int:
    """Hand records to `confluent_kafka.Producer.produce`, from place `at` on, without callbacks.

    Return the place of the first one for which the client has no room, or that behind the last one.
    """
    for place in range(at, len(records)):
        record = records[place]
        topic, value, key, headers = record.topic, record.value, record.key, record.headers
        try:
            produce(topic, value, key, record.partition, None, None, record.timestamp, headers)
        except BufferError:
            return place
    return len(records)
