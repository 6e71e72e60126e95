"""The demo's consumer: it reads all event topics under `read_committed`, in a thread of its own."""

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

from confluent_kafka import IsolationLevel, KafkaError, Message, TopicPartition
from confluent_kafka.admin import OffsetSpec

from cdc_sidecar.config.model import Config
from cdc_sidecar.demo.latencies import Latencies
from cdc_sidecar.demo.received import Received, received
from cdc_sidecar.demo.shop import SERVICE
from cdc_sidecar.demo.verdict import READ, TOMBSTONE, Event, Replica, Tally
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.kafka.client import REQUEST_TIMEOUT, admin_client, answer_of, translate, translated
from cdc_sidecar.kafka.messages import MessageDecoder
from cdc_sidecar.kafka.read import committed_reader
from cdc_sidecar.kafka.schemas import CommittedSchemas

_TOPICS: Final = (f"{SERVICE}.", "outbox.event.")
_TOPICS_SECONDS: Final = (
    0.5  # between two requests for new topics: a request costs the broker little
)
_POLL_SECONDS: Final = 0.1  # the longest wait for a message, and so for the end of the thread
_SHOWN: Final = 40  # events that are kept for the screen: more than it has lines

Partition = tuple[str, int]
"""A topic partition: the topic and the number of the partition."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event for the screen; `latency` in seconds, if the event carries its commit time."""

    event: Event
    latency: float | None


class Arrivals(threading.Thread):
    """The consumer. It hands every event to tally and replica.

    `error` is the reason if the thread ended before `finish`.
    """

    def __init__(self, config: Config, tally: Tally, lock: threading.Lock) -> None:
        """Connect; `lock` guards the tally."""
        super().__init__(name="arrivals", daemon=True)
        self._consumer = committed_reader(config.kafka)
        self._admin = admin_client(config.kafka)
        self._decoder = MessageDecoder(CommittedSchemas(config).find)
        self._tally = tally
        self._lock = lock
        self._next: dict[Partition, int] = {}
        self._listed_at = 0.0  # monotonic
        self._stopping = threading.Event()
        self._read_at = 0.0  # when the last row of a snapshot came, in seconds since 1970
        self.replica = Replica()
        self.latencies = Latencies()
        self.counts: Counter[str] = Counter()
        self.last: deque[Arrival] = deque(maxlen=_SHOWN)
        self.first_at: float | None = None  # monotonic
        self.error: SidecarError | None = None

    @property
    def count(self) -> int:
        """The number of events that have arrived, without tombstones."""
        return self.counts.total()

    def finish(self) -> None:
        """End the thread."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        """Consume until stopped."""
        try:
            while not self._stopping.is_set():
                self._assign_new_topics()
                with translated():
                    message = self._consumer.poll(_POLL_SECONDS)
                if message is not None:
                    self._receive(message)
        except SidecarError as error:
            self.error = error
        finally:
            self._consumer.close()

    def has_read_everything(self) -> bool:
        """Return whether every partition was read to its end, open transactions included.

        Raises:
            KafkaUnavailable: the broker does not answer.

        """
        asked = {TopicPartition(*partition): OffsetSpec.latest() for partition in list(self._next)}
        answers = self._admin.list_offsets(
            asked,
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=REQUEST_TIMEOUT,
        )
        ends = {
            (key.topic, key.partition): answer_of(future, self._admin)
            for key, future in answers.items()
        }
        return all(self._next[partition] >= end.offset for partition, end in ends.items())

    def _assign_new_topics(self) -> None:
        if time.monotonic() - self._listed_at < _TOPICS_SECONDS:
            return
        with translated():
            listed = self._consumer.list_topics(timeout=REQUEST_TIMEOUT).topics
        partitions = {
            (name, number)
            for name, topic in listed.items()
            if name.startswith(_TOPICS)
            for number in topic.partitions
        }
        added = sorted(partitions - self._next.keys())
        if added:
            with translated():
                self._consumer.incremental_assign(
                    [TopicPartition(*partition, 0) for partition in added]
                )
        self._next |= dict.fromkeys(added, 0)
        self._listed_at = time.monotonic()

    def _receive(self, message: Message) -> None:
        now = time.time()
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
            if error.retriable():
                return
            raise translate(error)
        offset = message.offset() or 0
        if error is None:
            self._add(received(self._decoder.decode(message)), now)
            offset += 1
        self._next[message.topic() or "", message.partition() or 0] = offset

    def _add(self, arrived: Received, now: float) -> None:
        event, committed_at = arrived.event, arrived.committed_at
        with self._lock:
            self._tally.see(event)
        self.replica.apply(event)
        self.first_at = self.first_at or time.monotonic()
        if event.op == TOMBSTONE:
            return
        self.counts[event.topic] += 1
        if event.op == READ:
            self._read_at = now
            committed_at = None  # that of the marker: it says nothing of the row
        elif committed_at and committed_at < self._read_at:
            committed_at = None  # this consumer decodes slower than a snapshot is published
        latency = None if committed_at is None else now - committed_at
        if committed_at is not None:
            self.latencies.add(committed_at, now)
        self.last.append(Arrival(event, latency))
