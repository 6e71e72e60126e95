"""The claim: fence every earlier producer, then read the position that counts (I2).

The session, the commands that move the position, and teardown claim the position before they
change it. A claim also ends hanging transactions of earlier producers, because a position behind
one cannot be read, and readers of event topics would wait at it forever.

A hanging transaction that was committed is ended by an abort as well: a commit would need one more
record on each of its partitions, and there is no event to write. Its records are then written
again. The position remembers which ones, from before the abort until they are committed.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Final

from cdc_sidecar import failpoints
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import KafkaUnavailable, SidecarError, TransactionFailed
from cdc_sidecar.events.names import position_topic, schemas_topic
from cdc_sidecar.events.record import Record
from cdc_sidecar.events.registry.records import SchemaRecord
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.kafka.client import admin_client
from cdc_sidecar.kafka.event_topics import EventTopics
from cdc_sidecar.kafka.hanging import OffsetRange, Partition, find_hanging, stable_ends
from cdc_sidecar.kafka.position import PositionRecord, read_position
from cdc_sidecar.kafka.producer import Producer, TransactionalProducer, producer_settings
from cdc_sidecar.kafka.read import Reader, committed_reader, high_watermark
from cdc_sidecar.kafka.settlement import Commit, Judge, Verdict, records_to_restore
from cdc_sidecar.kafka.topics import TopicCatalog
from cdc_sidecar.postgres.lsn import Lsn

_COPIED_AT_ONCE: Final = 1000
"""Records that are read before they are written again."""


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
    aborted: tuple[Partition, ...] = ()  # on which a hanging transaction was ended
    restored: tuple[Partition, ...] = ()  # those of them whose records were written again


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
        acknowledged: Callable[[], Lsn],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare the claims; nothing is sent yet.

        `topics` must have described the topics on which an earlier transaction may hang, as
        `described_topics` does. `acknowledged` returns the LSN up to which the slot is confirmed;
        it is called when the position of a hanging transaction is found. `stopping` is asked while
        the brokers do not answer, which also tells the caller that this thread waits and does not
        hang.
        """
        self._config = config
        self._topics = topics
        self._acknowledged = acknowledged
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

    def claim(self, published: Lsn | None = None) -> Claim:
        """Fence every earlier producer, end its hanging transactions, and read the position.

        `published` is the position that this process has committed last, if it has.

        Raises:
            KafkaUnavailable, KafkaRefused: the brokers do not answer, or refuse the producer.
            PositionUnreadable: the record is of another version, or malformed.
            TransactionFailed: a hanging transaction could not be ended.

        """
        producer, aborted = self.fence(published)
        with dropped_on_error(producer):
            record = self._read_decided()
            if record is None or not record.restoring:
                return Claim(producer, record, aborted)
            whole, is_usable = self._restore(producer, record)
        if not is_usable:
            producer.drop()
            return self.claim(published)
        restored = tuple(place.partition for place in record.restoring)
        return Claim(producer, whole, aborted, restored)

    def fence(
        self, published: Lsn | None = None
    ) -> tuple[TransactionalProducer, tuple[Partition, ...]]:
        """Fence every earlier producer and end its hanging transactions; return their partitions.

        For commands that need no position. Committed records that hung are written again by the
        next claim.

        Raises:
            KafkaUnavailable, KafkaRefused, PositionUnreadable, TransactionFailed: as in `claim`.

        """
        producer = self._fenced()
        with dropped_on_error(producer):
            hanging = find_hanging(admin_client(self._config.kafka), self._topics.partitions)
            if not hanging:
                return producer, ()
            verdict = self._judge(hanging, published)
            if verdict.position is not None:
                self._note(producer, verdict.position)
            if not verdict.ended:
                return producer, ()
            producer.abort_on(verdict.ended)
            failpoints.reach(Failpoint.AFTER_HANGING_ABORTED)
        producer.drop()
        return self._fenced(), verdict.ended

    def _note(self, producer: TransactionalProducer, record: PositionRecord) -> None:
        """Write the position of a commit that hangs, or from which records are to be restored.

        Raises:
            TransactionFailed: it is not there, or might still be removed.

        """
        groups = [[self.internal.position_record(record)]]
        if not self._transact(producer, groups) or self._read_decided() != record:
            raise TransactionFailed(
                "the records of a hanging transaction could not be noted in the position"
            )
        failpoints.reach(Failpoint.AFTER_HANGING_NOTED)

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

    def _judge(self, hanging: list[OffsetRange], published: Lsn | None) -> Verdict:
        """Return what to do about hanging transactions."""
        elsewhere = set(self._topics.partitions) - {place.partition for place in hanging}
        admin = admin_client(self._config.kafka)
        exists = self._topics.facts(self.internal.position) is not None
        record = self.read_unclaimed() if exists else None
        last = Commit(record, EventTopics(self._config)) if record else None
        with self._reader() as committed, self._reader("read_uncommitted") as uncommitted:
            place = self.internal.position, 0
            return Judge((committed, uncommitted), last, place, self.internal.key).judge(
                hanging,
                is_acknowledged=lambda lsn: lsn == published or lsn == self._acknowledged(),
                stable_ends=lambda: stable_ends(admin, elsewhere),
            )

    def _restore(
        self, producer: TransactionalProducer, record: PositionRecord
    ) -> tuple[PositionRecord, bool]:
        """Write the committed records again that were aborted.

        Return the position without them, and whether the producer may be used again.

        Raises:
            KafkaUnavailable: another producer has a transaction open among them.

        """
        existing = self._topics.describe({place.topic for place in record.restoring})
        places = tuple(place for place in record.restoring if place.topic in existing)
        self._check_ended(places)
        whole = replace(
            record, restoring=(), commits=record.commits + 1, written_at=time.time_ns() // 1000
        )
        with self._reader() as committed, self._reader("read_uncommitted") as uncommitted:
            records = records_to_restore(
                (committed, uncommitted),
                replace(record, restoring=places),
                EventTopics(self._config),
            )
            end = [self.internal.position_record(whole)]
            return whole, self._transact(producer, chain(_in_groups(records), [end]))

    def _check_ended(self, places: Iterable[OffsetRange]) -> None:
        """Check that no transaction is open among some records any more."""
        ended = {place.partition: place.end for place in places}
        for partition, stable in stable_ends(admin_client(self._config.kafka), ended).items():
            if stable < ended[partition]:
                topic, number = partition
                raise KafkaUnavailable(
                    f"a transaction is open at offset {stable} of partition {number} of topic"
                    f" {topic}, among records that are to be written again",
                    cause="another producer writes to this topic",
                    hint="wait until its transaction ends; `kafka-transactions.sh list` shows it",
                )

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

    def write(self, producer: Producer, record: PositionRecord | None, *before: Record) -> bool:
        """Write a position, after the records `before`, in a Kafka transaction of their own.

        `producer` is that of a claim, and None a position that there is not yet; return whether the
        producer may be used again.

        Raises:
            TransactionFailed: whether the position was written is not known.
            ProducerFenced: another producer has claimed the position.

        """
        return self._transact(producer, self._followed(before, record))

    def _followed(
        self, before: Sequence[Record], record: PositionRecord | None
    ) -> Iterator[list[Record]]:
        """Yield records, and the position that covers them, written after they were produced."""
        yield list(before)
        if record:
            written = replace(record, written_at=time.time_ns() // 1000)
            yield [self.internal.position_record(written)]

    def _transact(self, producer: Producer, groups: Iterable[list[Record]]) -> bool:
        """Write groups of records in one Kafka transaction; as `write`."""
        failed: SidecarError | None = None
        try:
            producer.begin()
            for records in groups:
                producer.produce(records, self._ask)
            return producer.commit(self._ask)
        except SidecarError as error:
            failed = error  # the abort calls the client, so nothing may be handled
        producer.abort()
        raise failed

    def _ask(self, _seconds: float) -> None:
        self._stopping()  # only tells the caller that this thread waits: a commit is not broken off


def _in_groups(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Yield records in lists of a limited length."""
    while group := list(islice(records, _COPIED_AT_ONCE)):
        yield group
        failpoints.reach(Failpoint.BEFORE_RESTORED)


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
    return Claimant(config, topics, lambda: Lsn(0)).read_unclaimed()
