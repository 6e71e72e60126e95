"""The claim: fence every earlier producer, then read the position that counts (I2).

The session, the commands that move the position, and teardown claim the position before they
change it. A claim also ends hanging transactions of earlier producers, because a position behind
one cannot be read, and readers of event topics would wait at it forever.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cdc_sidecar import failpoints
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import SidecarError, TransactionFailed
from cdc_sidecar.events.names import position_topic, schemas_topic
from cdc_sidecar.events.record import Record
from cdc_sidecar.events.registry.records import SchemaRecord
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.kafka.client import admin_client
from cdc_sidecar.kafka.event_topics import EventTopics
from cdc_sidecar.kafka.hanging import Partition, find_hanging, read_timestamp
from cdc_sidecar.kafka.position import PositionRecord, read_position
from cdc_sidecar.kafka.producer import Producer, TransactionalProducer, producer_settings
from cdc_sidecar.kafka.read import Reader, committed_reader, high_watermark
from cdc_sidecar.kafka.topics import TopicCatalog


@dataclass(frozen=True, slots=True)
class InternalTopics:
    """The topics of position and schemas, and the key of the position record."""

    position: str
    schemas: str
    key: bytes  # the transactional id

    @classmethod
    def of(cls, config: Config) -> "InternalTopics":
        """Return the internal topics of a configuration."""
        service = config.service.name
        key = config.transactional_id.encode()
        return cls(position_topic(service), schemas_topic(service), key)

    def position_record(self, position: PositionRecord) -> Record:
        """Return the record that stores a position."""
        return Record(self.position, position.encode(), self.key, 0)

    def schema_records(self, records: Iterable[SchemaRecord]) -> list[Record]:
        """Return the records that add to the schemas topic."""
        return [Record(self.schemas, value, key, 0) for key, value in records]


@dataclass(frozen=True, slots=True)
class Claim:
    """A producer that has fenced all earlier ones, and the position that was read after that."""

    producer: TransactionalProducer
    record: PositionRecord | None
    aborted: tuple[Partition, ...] = ()  # on which a hanging one was aborted


@contextmanager
def dropped_on_error(producer: TransactionalProducer) -> Iterator[None]:
    """Drop a producer that nobody gets because the block fails."""
    try:
        yield
    except SidecarError:
        producer.drop()
        raise


class Claimant:
    """Claims the position of one configuration; used by one thread at a time."""

    def __init__(
        self,
        config: Config,
        topics: TopicCatalog,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare the claims; nothing is sent yet.

        `topics` must have described the topics on which an earlier transaction may hang, as
        `described_topics` does. `stopping` is asked while the brokers do not answer, which also
        tells the caller that this thread waits and does not hang.
        """
        self._config = config
        self._topics = topics
        self._stopping = stopping
        self.internal = InternalTopics.of(config)

    def read_unclaimed(self) -> PositionRecord | None:
        """Return the last committed position without claiming it; None if there is none.

        A commit that is in doubt may be missing from it.

        Raises:
            KafkaUnavailable: the topic cannot be read.
            PositionUnreadable: the record is of another version, or malformed.

        """
        with self._reader() as reader:
            return self._read(reader, None)

    def claim(self) -> Claim:
        """Fence every earlier producer, end its hanging transactions, and read the position.

        Raises:
            KafkaUnavailable, KafkaRefused: the brokers do not answer, or refuse the producer.
            PositionUnreadable: the record is of another version, or malformed.
            TransactionFailed: a hanging transaction could not be ended.

        """
        producer, aborted = self.fence()
        with dropped_on_error(producer):
            return Claim(producer, self._read_decided(), aborted)

    def fence(self) -> tuple[TransactionalProducer, tuple[Partition, ...]]:
        """Fence every earlier producer and end its hanging transactions; return their partitions.

        For teardown, which needs no position: its topic may have been removed already.

        Raises:
            KafkaUnavailable, KafkaRefused, TransactionFailed: as in `claim`.

        """
        producer = self._fenced()
        with dropped_on_error(producer):
            hanging = self._find_hanging()
            if hanging:
                producer.abort_on(hanging)
        if hanging:
            producer.drop()
            producer = self._fenced()
        return producer, hanging

    def _fenced(self) -> TransactionalProducer:
        """Return a new producer that has fenced every earlier one."""
        settings = producer_settings(
            self._config.kafka,
            self._config.publish,
            self._config.transactional_id,
            smallest=self._topics.smallest_limit(),
            largest=self._topics.largest_limit(),
        )
        producer = TransactionalProducer(settings)
        with dropped_on_error(producer):
            producer.fence(self._stopping)
            failpoints.reach(Failpoint.AFTER_INIT_TRANSACTIONS)
        return producer

    def _find_hanging(self) -> tuple[Partition, ...]:
        """Return the partitions on which an aborted transaction of ours hangs.

        A hanging transaction that the committed position covers was not aborted but committed. The
        next commit ends it.
        """
        found = find_hanging(admin_client(self._config.kafka), self._topics.partitions)
        if not found or (self.internal.position, 0) in found:
            return tuple(sorted(found))
        covered = self._covered_until()
        with self._reader("read_uncommitted") as reader:
            return tuple(
                partition
                for partition, start in sorted(found.items())
                if read_timestamp(reader, partition, start) > covered
            )

    def _covered_until(self) -> int:
        """Return the time of the committed position, in microseconds since 1970."""
        exists = self._topics.facts(self.internal.position) is not None
        record = self.read_unclaimed() if exists else None
        return record.written_at if record else 0

    def _read_decided(self) -> PositionRecord | None:
        """Read the position up to the high watermark: after the fence no commit is in doubt."""
        high = high_watermark(admin_client(self._config.kafka), self.internal.position)
        with self._reader() as reader:
            return self._read(reader, high)

    def _read(self, reader: Reader, high: int | None) -> PositionRecord | None:
        return read_position(reader, self.internal.position, self._config.transactional_id, high)

    @contextmanager
    def _reader(self, isolation: str = "read_committed") -> Iterator[Reader]:
        reader = committed_reader(self._config.kafka, isolation)
        try:
            yield reader
        finally:
            reader.close()

    def write(self, producer: Producer, record: PositionRecord, *before: Record) -> bool:
        """Write a position, after the records `before`, in a Kafka transaction of their own.

        `producer` is that of a claim; return whether it may be used again.

        Raises:
            TransactionFailed: whether the position was written is not known.
            ProducerFenced: another producer has claimed the position.

        """
        failed: TransactionFailed | None = None
        try:
            producer.begin()
            producer.produce([*before, self.internal.position_record(record)], self._ask)
            return producer.commit(self._ask)
        except TransactionFailed as error:
            failed = error  # the abort calls the client, so nothing may be handled
        producer.abort()
        raise failed

    def _ask(self, _seconds: float) -> None:
        self._stopping()  # only tells the caller that this thread waits: a commit is not broken off


def described_topics(config: Config) -> TopicCatalog:
    """Return a catalog that has described the topics which a claim of `config` inspects.

    Raises:
        KafkaUnavailable: the brokers do not answer.

    """
    topics = TopicCatalog(admin_client(config.kafka), config.topics)
    internal, events = InternalTopics.of(config), EventTopics(config)
    topics.describe_matching(
        lambda name: name in (internal.position, internal.schemas) or events.may_hold(name)
    )
    return topics


def read_current_position(config: Config) -> PositionRecord | None:
    """Return the last committed position without claiming it; None if there is none.

    Raises:
        KafkaUnavailable: the brokers do not answer.
        PositionUnreadable: the record is of another version, or malformed.

    """
    topics = TopicCatalog(admin_client(config.kafka), config.topics)
    name = InternalTopics.of(config).position
    if name not in topics.describe([name]):
        return None
    return Claimant(config, topics).read_unclaimed()
