"""Follows topics for a reader who waits: also topics that are created meanwhile."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from cdc_sidecar.config.model import Kafka
from cdc_sidecar.kafka.client import (
    PARTITION_EOF,
    REQUEST_TIMEOUT,
    admin_client,
    translate,
    translated,
)
from cdc_sidecar.kafka.read import Message, assign, committed_reader

LOOK_INTERVAL: Final = 5.0
"""Seconds between two looks for new topics."""

Choice = Callable[[Iterable[str]], Sequence[str]]
"""Returns the topics to read of all that exist."""


class Follower:
    """Reads the chosen topics; `close` it."""

    def __init__(self, config: Kafka, isolation: str, choose: Choice) -> None:
        self._admin: AdminClient = admin_client(config)
        self._choose = choose
        self._reader = committed_reader(config, isolation)
        self._next: dict[tuple[str, int], int] = {}  # the offset to continue at
        self.topics: list[str] = []

    def begin(self, *, from_beginning: bool) -> None:
        """Choose the topics, and go to their beginning or to their end.

        Raises:
            TopicMissing: what `choose` raises.
            KafkaUnavailable: the brokers do not answer.

        """
        self.topics = list(self._chosen())
        assign(self._reader, self.topics, from_beginning=from_beginning)
        self._remember()

    def _chosen(self) -> Sequence[str]:
        with translated():
            listed = self._admin.list_topics(timeout=REQUEST_TIMEOUT).topics
        return self._choose(listed)

    def _remember(self) -> None:
        with translated():
            assigned = self._reader.assignment()
        for partition in assigned:
            place = (partition.topic, partition.partition)
            self._next.setdefault(place, max(0, partition.offset))

    def messages(self, timeout: float | None) -> Iterator[Message]:
        """Yield messages as they arrive, until nothing has arrived for `timeout` seconds."""
        last = looked = time.monotonic()
        while timeout is None or time.monotonic() - last < timeout:
            with translated():
                message = self._reader.poll(0.2)
            if message is not None and _is_record(message):
                last = time.monotonic()
                place = (message.topic() or "", message.partition() or 0)
                self._next[place] = (message.offset() or 0) + 1
                yield message
            if time.monotonic() - looked > LOOK_INTERVAL:
                looked = time.monotonic()
                self._add_new_topics()

    def _add_new_topics(self) -> None:
        """Read topics that were created meanwhile, from their beginning."""
        new = [name for name in self._chosen() if name not in self.topics]
        if not new:
            return
        assign(self._reader, new, from_beginning=True)
        self._remember()
        self.topics += new
        places = [TopicPartition(*place, offset) for place, offset in self._next.items()]
        with translated():
            self._reader.assign(places)

    def close(self) -> None:
        """Close the consumer."""
        self._reader.close()


def _is_record(message: Message) -> bool:
    """Return whether a message is a record; the end of a partition is not one."""
    error = message.error()
    if error is not None and error.code() != PARTITION_EOF and not error.retriable():
        raise translate(error)
    return error is None
