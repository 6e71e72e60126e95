"""Look and claim: what a session must know and own before the first byte is streamed (I2, I7).

Look reads source and position without claiming: a clone must halt before it fences anyone. Claim
fences every earlier producer and then reads the position that counts, up to the high watermark.
"""

import os
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from cdc_sidecar import failpoints
from cdc_sidecar.errors import KafkaUnavailable, PositionMissing, SlotMissing
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.names import position_topic, schemas_topic
from cdc_sidecar.events.position import Position
from cdc_sidecar.events.record import Record
from cdc_sidecar.events.schema_log import SchemaLog
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.kafka.client import admin_client
from cdc_sidecar.kafka.left_open import Place, find_left_open, read_time
from cdc_sidecar.kafka.position import PositionRecord, SourceIdentity, read_position
from cdc_sidecar.kafka.producer import TransactionalProducer, producer_settings
from cdc_sidecar.kafka.read import Reader, committed_reader, high_watermark, read_records
from cdc_sidecar.kafka.topics import Topics
from cdc_sidecar.logs import Logger
from cdc_sidecar.postgres.catalog import PublishedTable, read_published_tables
from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.postgres.replication import ReplicationConnection, SystemIdentity
from cdc_sidecar.postgres.slot import Server, check_version, read_server, read_slot
from cdc_sidecar.runtime import preflight
from cdc_sidecar.runtime.resources import Resources


@dataclass(frozen=True, slots=True)
class View:
    """What a look at the source showed."""

    system: SystemIdentity
    server: Server
    identity: SourceIdentity
    tables: tuple[PublishedTable, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """A producer that has fenced all earlier ones, and the record that was read after that."""

    producer: TransactionalProducer
    record: PositionRecord

    @property
    def position(self) -> Position:
        """Where to go on; a claim never holds a mere intent."""
        assert self.record.position is not None  # noqa: S101 - resolved by `Claimant.claim`
        return self.record.position


@dataclass(frozen=True, slots=True)
class InternalTopics:
    """Where position and schemas are kept, and the key of the position."""

    position: str
    schemas: str
    transactional_id: bytes


class Claimant:
    """Looks and claims for one session; used by one thread at a time."""

    def __init__(self, resources: Resources, capture: Capture, topics: Topics, log: Logger) -> None:
        self._resources = resources
        self._config = resources.config
        self._capture = capture
        self._topics = topics
        self._log = log
        service = self._config.service.name
        self.internal = InternalTopics(
            position_topic(service),
            schemas_topic(service),
            self._config.transactional_id.encode(),
        )

    @contextmanager
    def _reader(self) -> Iterator[Reader]:
        reader = committed_reader(self._config.kafka)
        try:
            yield reader
        finally:
            reader.close()

    def look(self, connection: ReplicationConnection) -> View:
        """Look at source and position without claiming.

        Raises:
            SidecarError: the source is not what the configuration or the position says.

        """
        system = connection.identify_system()
        with self._resources.database.connection() as ordinary:
            server = read_server(ordinary)
            check_version(server)
            preflight.check_primary(connection, server)
            preflight.check_wal_level(server)
            publication = preflight.check_publication(ordinary, self._config)
            tables = read_published_tables(ordinary, self._config.postgres.publication)
        preflight.check_tables(tables, self._config, self._capture)
        self._topics.ensure_internal([self.internal.position, self.internal.schemas])
        names = preflight.event_topics(tables, self._config, self._capture)
        self._topics.ensure(names)
        self._topics.describe_like(outbox.topic for outbox in self._config.outboxes)
        preflight.check_null_keys(tables, self._topics.describe(names), self._capture, publication)
        view = View(system, server, preflight.identity_of(system, server, self._config), tables)
        with self._reader() as reader:
            record = self._read_position(reader, None)
        if record:
            self._check_identity(connection, record, view.identity)
        if record and record.position:
            preflight.check_wal_end(record.position, connection.identify_system())
        return view

    def _check_identity(
        self, connection: ReplicationConnection, record: PositionRecord, now: SourceIdentity
    ) -> None:
        history = {}
        if record.identity.timeline != now.timeline:
            history = connection.timeline_history(now.timeline)
        preflight.check_identity(record, now, history)

    def _read_position(self, reader: Reader, high: int | None) -> PositionRecord | None:
        transactional_id = self._config.transactional_id
        return read_position(reader, self.internal.position, transactional_id, high)

    def claim(self, connection: ReplicationConnection, view: View) -> Claim:
        """Fence, then read the position that counts, then make every check of I7.

        Raises:
            SidecarError: Kafka or Postgres is away, or a person must decide.

        """
        producer = self._fence()
        record = self._read_decided()
        if record is not None:
            self._check_identity(connection, record, view.identity)
        if record is None or record.position is None:
            claim = self._first_start(connection, producer, record, view)
        else:
            with self._resources.database.connection() as ordinary:
                slot = read_slot(ordinary, self._config.postgres.slot)
            system = connection.identify_system()
            preflight.check_position(record, slot, system, self._capture.fingerprint)
            if record.fingerprint != self._capture.fingerprint:
                self._log.info("configuration_changed", since=record.fingerprint)
            if record.identity.timeline != view.identity.timeline:
                self._log.warning(
                    "timeline_changed",
                    since=record.identity.timeline,
                    now=view.identity.timeline,
                    slot_at=format_lsn(slot.confirmed_flush_lsn) if slot else None,
                )
            claim = Claim(producer, replace(record, identity=view.identity, instance=instance()))
        self._log.info("position_claimed", position=format_lsn(claim.position.end_lsn))
        return claim

    def reclaim(self) -> Claim:
        """Replace the producer while the stream goes on; called by the publisher thread.

        Raises:
            SidecarError: Kafka is away, or the position is gone.

        """
        producer = self._fence()
        record = self._read_decided()
        if record is None or record.position is None:
            raise PositionMissing(f"topic {self.internal.position} has lost the position")
        return Claim(producer, record)

    def brokers_answer(self) -> bool:
        """Tell whether any broker answers; called by the publisher thread when it has failed.

        Raises:
            KafkaRefused: one does, and does not let us in.

        """
        return self._topics.brokers_answer()

    def _fence(self) -> TransactionalProducer:
        """Fence every earlier producer, and see that its last transaction is over everywhere."""
        producer = self._new_producer()
        left = self._left_open()
        if left:
            self._log.warning("transaction_left_open", places=[f"{t}-{n}" for t, n in sorted(left)])
            producer.abort_on(left)
            producer = self._new_producer()
        return producer

    def _left_open(self) -> Collection[Place]:
        """Return where an earlier transaction of ours was aborted and still seems open.

        What the committed position covers was committed: the next commit ends it.
        """
        found = find_left_open(admin_client(self._config.kafka), self._topics.places)
        if not found or (self.internal.position, 0) in found:
            return found
        with self._reader() as reader:
            record = self._read_position(reader, None)
        covered = record.written_at if record else 0
        reader = committed_reader(self._config.kafka, isolation="read_uncommitted")
        try:
            return [place for place, at in found.items() if read_time(reader, place, at) > covered]
        finally:
            reader.close()

    def _new_producer(self) -> TransactionalProducer:
        settings = producer_settings(
            self._config.kafka,
            self._config.publish,
            self._config.transactional_id,
            smallest=self._topics.smallest_limit(),
        )
        producer = TransactionalProducer(settings)
        producer.claim(self._resources.stopping.is_set)
        failpoints.reach(Failpoint.AFTER_INIT_TRANSACTIONS)
        self._resources.board.update(kafka_reachable=True)
        return producer

    def _read_decided(self) -> PositionRecord | None:
        """Read the position up to the high watermark: what was in doubt is decided by now."""
        admin = admin_client(self._config.kafka)
        high = high_watermark(admin, self.internal.position)
        with self._reader() as reader:
            return self._read_position(reader, high)

    def _first_start(
        self,
        connection: ReplicationConnection,
        producer: TransactionalProducer,
        intent: PositionRecord | None,
        view: View,
    ) -> Claim:
        """Make the first position; an intent recorded before the slot survives a crash between."""
        name = self._config.postgres.slot
        record = intent or self._new_record(view.identity)
        with self._resources.database.connection() as ordinary:
            slot = read_slot(ordinary, name)
        if slot is None:
            if not self._config.postgres.create_slot:
                raise SlotMissing(
                    f"slot {name}, and no position either: a first start",
                    hint="run what `cdc-sidecar setup-sql` prints, or set create_slot = true",
                )
            if intent is None:
                self._write(producer, record)
                failpoints.reach(Failpoint.AFTER_SLOT_INTENT)
            start = connection.create_slot(name, self._resources.stopping.is_set)
            failpoints.reach(Failpoint.AFTER_SLOT_CREATED)
            self._log.info("slot_created", slot=name, consistent_point=format_lsn(start))
        elif intent is None and not self._resources.bootstrap:
            raise PositionMissing(
                f"slot {name} begins at {format_lsn(slot.confirmed_flush_lsn)}, but topic "
                f"{self.internal.position} has no position",
                cause="a first start on a slot made by hand, or the position topic was lost",
                hint="a first start: say so once with `cdc-sidecar run --bootstrap`; otherwise"
                " restore the topic",
            )
        else:
            slot.check(view.server.database)
            start = slot.confirmed_flush_lsn
        first = record.moved(Position(start), self._capture.fingerprint, time.time_ns() // 1000)
        self._write(producer, first)
        return Claim(producer, first)

    def _new_record(self, identity: SourceIdentity) -> PositionRecord:
        now = time.time_ns() // 1000
        return PositionRecord(identity, None, 0, self._capture.fingerprint, instance(), now)

    def _write(self, producer: TransactionalProducer, record: PositionRecord) -> None:
        producer.begin()
        topics = self.internal
        producer.produce([Record(topics.position, record.encode(), topics.transactional_id, 0)])
        if not producer.commit():
            raise KafkaUnavailable("the first position took too long to be committed")

    def load_schemas(self) -> SchemaLog:
        """Read schemas and layouts as the earlier sessions committed them.

        Raises:
            SchemasUnreadable: a record of another version, or malformed.

        """
        schemas = SchemaLog()
        high = high_watermark(admin_client(self._config.kafka), self.internal.schemas)
        with self._reader() as reader:
            for key, value in read_records(reader, self.internal.schemas, 0, high):
                schemas.load(key, value)
                self._resources.registry.load(key, value)
        return schemas


def instance() -> str:
    """Return who we are, for the position record: host and process."""
    return f"{socket.gethostname()}/{os.getpid()}"
