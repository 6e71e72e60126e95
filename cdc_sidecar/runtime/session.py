"""One life of the stream: lock, look, claim, stream, end.

Every trouble that may pass ends the session; the daemon begins a new one after a back-off. There is
one way to begin and one way to end.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from cdc_sidecar import failpoints
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import (
    PositionMissing,
    PostgresUnavailable,
    ProducerFenced,
    RivalTookOver,
    SidecarError,
    SlotMissing,
)
from cdc_sidecar.events.assembler import Assembler
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.names import position_topic, schemas_topic
from cdc_sidecar.events.position import Position
from cdc_sidecar.events.subjects import Subjects
from cdc_sidecar.events.table import TopicFacts
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.kafka.client import admin_client
from cdc_sidecar.kafka.position import PositionRecord, SourceIdentity, read_position
from cdc_sidecar.kafka.producer import TransactionalProducer, producer_settings
from cdc_sidecar.kafka.read import Reader, committed_reader, high_watermark, read_records
from cdc_sidecar.kafka.topics import Topics
from cdc_sidecar.logs import Logger
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.postgres.catalog import PublishedTable, read_published_tables
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.lsn import Lsn, format_lsn
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.replication import ReplicationConnection, SystemIdentity, lock_key
from cdc_sidecar.postgres.slot import (
    Server,
    check_version,
    holds_lock,
    read_server,
    read_slot,
)
from cdc_sidecar.postgres.types import LayoutFacts
from cdc_sidecar.runtime import preflight
from cdc_sidecar.runtime.handover import Acknowledgement, BatchQueue
from cdc_sidecar.runtime.lookup import Lookup
from cdc_sidecar.runtime.publisher import Claim, InternalTopics, Publisher
from cdc_sidecar.runtime.replicator import Replicator
from cdc_sidecar.runtime.state import Phase, StateBoard

LOCK_POLL: Final = 1.0  # seconds between two tries for the lock


@dataclass(frozen=True, slots=True)
class Daemon:
    """What outlives a session and is lent to it."""

    config: Config
    version: str
    database: Database
    registry: Subjects  # what the HTTP thread serves
    board: StateBoard
    metrics: Metrics
    log: Logger
    stopping: threading.Event
    bootstrap: bool  # a person said that the slot without a position is a first start


@dataclass(frozen=True, slots=True)
class View:
    """What a look at the source showed."""

    system: SystemIdentity
    server: Server
    identity: SourceIdentity
    tables: tuple[PublishedTable, ...]


class Session:
    """One session; `run` is called once, by the main thread."""

    def __init__(self, daemon: Daemon, number: int) -> None:
        self._daemon = daemon
        self._config = daemon.config
        self._number = number
        self._log = daemon.log.bind(session=number)
        self._capture = Capture.of(daemon.config)
        service = daemon.config.service.name
        self._internal = InternalTopics(
            position_topic(service), schemas_topic(service), daemon.config.transactional_id.encode()
        )
        self._ending = threading.Event()  # asked to stop, or failed
        self._error: SidecarError | None = None
        self._lock = threading.Lock()
        self.captured: dict[int, str] = {}  # oid → name, for the guardian; set once streaming
        self.streaming_since: float | None = None

    @property
    def _stopping(self) -> Callable[[], bool]:
        return self._daemon.stopping.is_set

    def fail(self, error: SidecarError) -> None:
        """End the session with an error; the first one counts. Called by any thread."""
        with self._lock:
            self._error = self._error or error
        self._ending.set()

    def stop(self) -> None:
        """End the session in order. Called by the main thread."""
        self._ending.set()

    def run(self) -> None:
        """Lock, look, claim, stream, end.

        Raises:
            SidecarError: why it ended, unless it was asked to stop.

        """
        self._phase(Phase.STARTING)
        connection = ReplicationConnection(self._config.postgres)
        try:
            if not self._wait_for_lock(connection):
                return
            failpoints.reach(Failpoint.AFTER_LOCK)
            topics = Topics(admin_client(self._config.kafka), self._config.topics)
            consumer = committed_reader(self._config.kafka)
            try:
                view = self._look(connection, topics, consumer)
                failpoints.reach(Failpoint.AFTER_LOOK)
                self._phase(Phase.CLAIMING)
                claim = self._claim(connection, topics, consumer, view)
            finally:
                consumer.close()
            failpoints.reach(Failpoint.AFTER_CLAIM)
            if not self._stopping():
                self._stream(connection, topics, view, claim)
        finally:
            connection.close()

    # --- lock

    def _wait_for_lock(self, connection: ReplicationConnection) -> bool:
        """Take the lock, waiting while another sidecar holds it; False when asked to stop."""
        key = lock_key(self._config.postgres.slot)
        waiting = False
        while not connection.try_lock(key):
            if not waiting:
                waiting = True
                self._phase(Phase.WAITING)
                self._log.info("standby_entered", reason="another sidecar holds the lock")
            if self._daemon.stopping.wait(LOCK_POLL):
                return False
        if waiting:
            self._log.info("standby_left", reason="the lock is free")
        return True

    # --- look

    def _look(self, connection: ReplicationConnection, topics: Topics, consumer: Reader) -> View:
        """Look at source and position without claiming: a clone must halt before it fences."""
        system = connection.identify_system()
        with self._daemon.database.connection() as ordinary:
            server = read_server(ordinary)
            check_version(server)
            preflight.check_wal_level(server)
            publication = preflight.check_publication(ordinary, self._config)
            tables = read_published_tables(ordinary, self._config.postgres.publication)
        preflight.check_tables(tables, self._config, self._capture)
        topics.ensure_internal([self._internal.position, self._internal.schemas])
        names = preflight.event_topics(tables, self._config, self._capture)
        topics.ensure(names)
        preflight.check_null_keys(tables, topics.describe(names), self._capture, publication)
        view = View(system, server, preflight.identity_of(system, server, self._config), tables)
        record = self._read_position(consumer, None)
        if record:
            self._check_identity(connection, record, view.identity)
        return view

    def _check_identity(
        self, connection: ReplicationConnection, record: PositionRecord, now: SourceIdentity
    ) -> None:
        history = {}
        if record.identity.timeline != now.timeline:
            history = connection.timeline_history(now.timeline)
        preflight.check_identity(record, now, history)

    def _read_position(self, consumer: Reader, high: int | None) -> PositionRecord | None:
        transactional_id = self._config.transactional_id
        return read_position(consumer, self._internal.position, transactional_id, high)

    # --- claim

    def _claim(
        self,
        connection: ReplicationConnection,
        topics: Topics,
        consumer: Reader,
        view: View,
    ) -> Claim:
        """Fence, then read the position that counts (I2), then make every check of I7."""
        producer = self._fence(topics)
        record = self._read_decided(consumer)
        if record is not None:
            self._check_identity(connection, record, view.identity)
        if record is None or record.position is None:
            claim = self._first_start(connection, producer, record, view)
        else:
            with self._daemon.database.connection() as ordinary:
                slot = read_slot(ordinary, self._config.postgres.slot)
            system = connection.identify_system()
            preflight.check_position(record, slot, system, self._capture.fingerprint)
            if record.fingerprint != self._capture.fingerprint:
                self._log.info("configuration_changed", since=record.fingerprint)
            claim = Claim(producer, replace(record, identity=view.identity, instance=instance()))
        self._log.info("position_claimed", position=format_lsn(_end(claim)))
        return claim

    def _fence(self, topics: Topics) -> TransactionalProducer:
        settings = producer_settings(
            self._config.kafka,
            self._config.publish,
            self._config.transactional_id,
            largest=topics.largest_limit(),
            smallest=topics.smallest_limit(),
        )
        producer = TransactionalProducer(settings)
        producer.claim(self._stopping)
        failpoints.reach(Failpoint.AFTER_INIT_TRANSACTIONS)
        self._daemon.board.update(kafka_reachable=True)
        return producer

    def _read_decided(self, consumer: Reader) -> PositionRecord | None:
        """Read the position up to the high watermark: what was in doubt is decided by now."""
        admin = admin_client(self._config.kafka)
        return self._read_position(consumer, high_watermark(admin, self._internal.position))

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
        with self._daemon.database.connection() as ordinary:
            slot = read_slot(ordinary, name)
        if slot is None:
            if not self._config.postgres.create_slot:
                raise SlotMissing(
                    f"slot {name}, and no position either: a first start",
                    cure="run what `cdc-sidecar setup-sql` prints, or set create_slot = true",
                )
            if intent is None:
                self._write(producer, record)
                failpoints.reach(Failpoint.AFTER_SLOT_INTENT)
            start = connection.create_slot(name, self._stopping)
            failpoints.reach(Failpoint.AFTER_SLOT_CREATED)
            self._log.info("slot_created", slot=name, consistent_point=format_lsn(start))
        elif intent is None and not self._daemon.bootstrap:
            raise PositionMissing(
                f"slot {name} begins at {format_lsn(slot.confirmed_flush_lsn)}, but topic "
                f"{self._internal.position} has no position",
                cause="a first start on a slot made by hand, or the position topic was lost",
                cure="a first start: say so once with `cdc-sidecar run --bootstrap`; otherwise"
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
        topics = self._internal
        producer.produce([(topics.position, record.encode(), topics.transactional_id, 0)])
        if not producer.commit():
            raise PostgresUnavailable("the first position took too long to be committed")

    def _load_subjects(self, consumer: Reader) -> Subjects:
        """Read schemas and layouts as the earlier sessions committed them."""
        subjects = Subjects()
        high = high_watermark(admin_client(self._config.kafka), self._internal.schemas)
        for key, value in read_records(consumer, self._internal.schemas, 0, high):
            subjects.load(key, value)
            self._daemon.registry.load(key, value)
        return subjects

    # --- stream

    def _stream(
        self,
        connection: ReplicationConnection,
        topics: Topics,
        view: View,
        claim: Claim,
    ) -> None:
        consumer = committed_reader(self._config.kafka)
        try:
            subjects = self._load_subjects(consumer)
        finally:
            consumer.close()
        start = _end(claim)
        postgres = self._config.postgres
        connection.start(postgres.slot, start, postgres.publication)
        failpoints.reach(Failpoint.AFTER_START_REPLICATION)
        acknowledgement = Acknowledgement(start)
        queue = BatchQueue(self._config.publish.max_queue_bytes)
        lookup = Lookup(self._daemon.database, topics)
        replicator = Replicator(
            connection,
            queue,
            acknowledgement,
            wal_sender_timeout=view.server.wal_sender_timeout,
            stopping=self._ending,
            fail=self.fail,
        )
        replicator.assembler = self._assembler(claim, view, subjects, topics, lookup, replicator)
        publisher = Publisher(
            claim,
            config=self._config.publish,
            fingerprint=self._capture.fingerprint,
            topics=self._internal,
            queue=queue,
            acknowledgement=acknowledgement,
            reclaim=lambda: self._reclaim(topics),
            load_schema=self._daemon.registry.load,
            fail=lambda error: self.fail(self._judge(error, connection.backend_pid)),
            board=self._daemon.board,
            metrics=self._daemon.metrics,
            log=self._log,
        )
        self._daemon.metrics.lag_seconds.set_function(publisher.lag)
        self._watch_tables(view)
        self._phase(Phase.STREAMING)
        self.streaming_since = time.monotonic()
        self._log.info("stream_started", position=format_lsn(start), slot=postgres.slot)
        try:
            self._run_threads(replicator, publisher)
        finally:
            lookup.close()
            acknowledgement.close()
        if self._error:
            raise self._error

    def _assembler(  # noqa: PLR0913 - wires what it is given
        self,
        claim: Claim,
        view: View,
        subjects: Subjects,
        topics: Topics,
        lookup: Lookup,
        replicator: Replicator,
    ) -> Assembler:
        looked = {table.relation: table.facts for table in view.tables}

        def read_facts(relation: Relation) -> LayoutFacts:
            return looked.get(relation) or replicator.ask(lookup.facts(relation))

        def topic_facts(name: str) -> TopicFacts:
            known = topics.facts(name)
            return known or replicator.ask(lookup.topic(name))

        assert claim.record.position is not None  # noqa: S101 - a claim has one
        return Assembler(
            Source(self._daemon.version, self._config.service.name, view.server.database),
            self._capture,
            subjects,
            claim.record.position,
            read_facts=read_facts,
            topic_facts=topic_facts,
            clock=lambda: time.time_ns() // 1000,
        )

    def _run_threads(self, replicator: Replicator, publisher: Publisher) -> None:
        """Run both threads until the session ends; then give them the grace period."""
        grace = self._config.shutdown.grace
        publishing = threading.Thread(target=publisher.run, name="publisher", daemon=True)
        replicating = threading.Thread(
            target=replicator.run,
            args=(publisher.finished, grace * 0.8),
            name="replication",
            daemon=True,
        )
        publishing.start()
        replicating.start()
        self._daemon.metrics.streaming.set(1)
        while not self._ending.wait(1.0):
            seen = time.time() - (time.monotonic() - replicator.beat)
            self._daemon.board.update(beat=seen)
        self._phase(Phase.STOPPING)
        self._daemon.metrics.streaming.set(0)
        deadline = time.monotonic() + grace
        for thread in (replicating, publishing):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _reclaim(self, topics: Topics) -> Claim:
        """Replace the producer while the stream goes on; called by the publisher thread."""
        producer = self._fence(topics)
        consumer = committed_reader(self._config.kafka)
        try:
            record = self._read_decided(consumer)
        finally:
            consumer.close()
        if record is None:
            raise PositionMissing("the position is gone")
        return Claim(producer, record)

    def _judge(self, error: SidecarError, backend_pid: int) -> SidecarError:
        """Tell a rival that took our lock from a broker that timed our transaction out."""
        if not isinstance(error, ProducerFenced):
            return error
        self._daemon.metrics.fences.inc()
        try:
            with self._daemon.database.connection() as ordinary:
                if holds_lock(ordinary, backend_pid):
                    return error
        except SidecarError as unknown:
            return unknown
        return RivalTookOver(
            error.fact,
            cause="our session on Postgres ended while we stood still, and another began",
            cure="nothing: the other one publishes; restarting makes this one the standby",
        )

    def _watch_tables(self, view: View) -> None:
        tables = preflight.captured(view.tables, self._capture)
        self.captured = {table.relation.oid: table.relation.qualified_name for table in tables}

    def _phase(self, phase: Phase) -> None:
        now = time.time()
        self._daemon.board.update(phase=phase, phase_since=now, beat=now, session=self._number)


def instance() -> str:
    """Return who we are, for the position record: host and process."""
    return f"{socket.gethostname()}/{os.getpid()}"


def _end(claim: Claim) -> Lsn:
    position = claim.record.position
    assert position is not None  # noqa: S101 - a claim has one
    return position.end_lsn
