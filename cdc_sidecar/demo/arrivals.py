"""What arrives: a `read_committed` consumer of all event topics, in a thread of its own."""

import threading
import time
from array import array
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, IsolationLevel, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from cdc_sidecar.config.model import Config
from cdc_sidecar.demo.shop import SERVICE, key_of
from cdc_sidecar.demo.verdict import OUTBOX, TOMBSTONE, Event, Ledger, Replica, Row
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.reader import EventReader
from cdc_sidecar.kafka.client import REQUEST_TIMEOUT, admin_client, translate, translated
from cdc_sidecar.kafka.read import committed_reader
from cdc_sidecar.kafka.schemas import CommittedSchemas

_TOPICS: Final = (f"{SERVICE}.", "outbox.event.")
_LOOK_SECONDS: Final = 0.5  # between looks for new topics
_POLL_SECONDS: Final = 0.1
_RECENT: Final = 2000  # latencies

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event, for the screen; `latency` in seconds since its commit, where it tells that."""

    event: Event
    latency: float | None


class Arrivals(threading.Thread):
    """The consumer. Hands each event to ledger and replica; `error` says why it ended early."""

    def __init__(self, config: Config, ledger: Ledger, lock: threading.Lock) -> None:
        """Connect; `lock` guards the ledger."""
        super().__init__(name="arrivals", daemon=True)
        self._consumer: Consumer = committed_reader(config.kafka)
        self._admin: AdminClient = admin_client(config.kafka)
        self._decoder = _Decoder(config)
        self._ledger = ledger
        self._lock = lock
        self._next: dict[Place, int] = {}
        self._looked = 0.0
        self._stopping = threading.Event()
        self.replica = Replica()
        self.latencies = Latencies()
        self.counts: Counter[str] = Counter()
        self.last: deque[Arrival] = deque(maxlen=40)
        self.first_at: float | None = None  # monotonic
        self.error: SidecarError | None = None

    @property
    def count(self) -> int:
        """How many events have arrived, tombstones not counted."""
        return self.counts.total()

    def finish(self) -> None:
        """End the thread."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        """Consume until stopped."""
        try:
            while not self._stopping.is_set():
                self._look_for_topics()
                with translated():
                    message = self._consumer.poll(_POLL_SECONDS)
                if message is not None:
                    self._take(message)
        except SidecarError as error:
            self.error = error
        finally:
            self._consumer.close()

    def has_read_everything(self) -> bool:
        """Tell whether it has come to the end of every partition, open transactions included.

        Raises SidecarError if the broker does not answer.
        """
        asked = {TopicPartition(*place): OffsetSpec.latest() for place in list(self._next)}
        answers = self._admin.list_offsets(
            asked,
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=REQUEST_TIMEOUT,
        )
        with translated():
            ends = {(key.topic, key.partition): future.result() for key, future in answers.items()}
        return all(self._next[place] >= end.offset for place, end in ends.items())

    def _look_for_topics(self) -> None:
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        with translated():
            listed = self._consumer.list_topics(timeout=REQUEST_TIMEOUT).topics
        places = {
            (name, number)
            for name, topic in listed.items()
            if name.startswith(_TOPICS)
            for number in topic.partitions
        }
        added = sorted(places - self._next.keys())
        if added:
            with translated():
                self._consumer.incremental_assign([TopicPartition(*place, 0) for place in added])
        self._next |= dict.fromkeys(added, 0)
        self._looked = time.monotonic()

    def _take(self, message: Message) -> None:
        now = time.time()
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
            if error.retriable():
                return
            raise translate(error)
        offset = message.offset() or 0
        if error is None:
            self._keep(*self._decoder.decode(message), now)
            offset += 1
        self._next[message.topic() or "", message.partition() or 0] = offset

    def _keep(self, event: Event, committed_at: float | None, now: float) -> None:
        with self._lock:
            self._ledger.see(event)
        self.replica.apply(event)
        self.first_at = self.first_at or time.monotonic()
        if event.op == TOMBSTONE:
            return
        self.counts[event.topic] += 1
        latency = None if committed_at is None else now - committed_at
        if committed_at is not None:
            self.latencies.add(committed_at, now)
        self.last.append(Arrival(event, latency))


class Latencies:
    """Seconds from commit to consumer; those that a killed sidecar held up are kept apart."""

    def __init__(self) -> None:
        """Begin with none."""
        self._steady = array("d")
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._killed_at = float("inf")
        self._back_at = 0.0
        self.held_up = 0
        self.longest = 0.0

    def note_kill(self) -> None:
        """Take note that the sidecar has just been killed."""
        self._killed_at, self._back_at = time.time(), float("inf")

    def note_back(self) -> None:
        """Take note that the sidecar streams again."""
        self._back_at = time.time()

    def add(self, committed_at: float, now: float) -> None:
        """Take one event's times, in seconds since 1970."""
        self._recent.append(now - committed_at)
        if committed_at < self._back_at and now > self._killed_at:
            self.held_up += 1
            self.longest = max(self.longest, now - committed_at)
        else:
            self._steady.append(now - committed_at)

    def recent(self, share: float) -> float | None:
        """Return a percentile of the last events."""
        return _percentile(list(self._recent), share)

    def steady(self, share: float) -> float | None:
        """Return a percentile of all events that met a running sidecar."""
        return _percentile(list(self._steady), share)


def _percentile(values: list[float], share: float) -> float | None:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


class _Decoder:
    """Decodes with the schemas of the service."""

    def __init__(self, config: Config) -> None:
        self._reader = EventReader(CommittedSchemas(config).find)

    def decode(self, message: Message) -> tuple[Event, float | None]:
        """Return the event of a message, and when it was committed, in seconds since 1970."""
        topic, headers = message.topic() or "", dict(message.headers() or ())
        key, value = self._read(message.key()), self._read(message.value())
        if "id" in headers:
            said = {"type": _text(headers["type"]), "payload": _text(value)}
            identity = _text(headers["id"]) or ""
            return Event(topic, key_of([_text(key)]), identity, OUTBOX, after=said), None
        place = key_of([_text(part) for part in (key or {}).values()])
        if value is None:
            return Event(topic, place, TOMBSTONE, TOMBSTONE), None
        return _event(topic, place, value), value["source"]["ts_us"] / 1_000_000

    def _read(self, framed: str | bytes | None) -> Any:  # noqa: ANN401 - whatever the schema says
        return self._reader.read(framed) if isinstance(framed, bytes) else framed


def _event(topic: str, key: str, value: Mapping[str, Any]) -> Event:
    identity = f"{value['source']['commit_lsn']}/{value['transaction']['total_order']}"
    before, after = _row(value["before"]), _row(value["after"])
    return Event(topic, key, identity, value["op"], before, after, tuple(value["unchanged"]))


def _row(values: Mapping[str, Any] | None) -> Row | None:
    return values and {name: _text(value) for name, value in values.items()}


def _text(value: Any) -> str | None:  # noqa: ANN401 - a value of the reader
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
