"""The start of a session: examine the source, claim the position; at a first start create both.

The examination reads source and position without claiming, because a clone must halt before it
fences anyone. The claim fences every earlier producer and then reads the position that counts (I2,
I7).
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from cdc_sidecar import failpoints
from cdc_sidecar.checks import preflight
from cdc_sidecar.checks.condition import check_all, faults_of
from cdc_sidecar.checks.continuity import Continuity, SourceState
from cdc_sidecar.checks.source import acknowledged_lsn, read_source
from cdc_sidecar.checks.source_view import (
    OF_SERVER,
    OF_SOURCE,
    QUESTIONABLE,
    SourceView,
    read_view,
)
from cdc_sidecar.checks.topics import OF_TOPICS, TopicView, event_topics, parked_topics
from cdc_sidecar.errors import KafkaUnavailable, PositionMissing, SlotMissing
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.position import Position
from cdc_sidecar.events.registry.records import SchemaRecord
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.kafka.claim import Claim, Claimant, dropped_on_error
from cdc_sidecar.kafka.client import ask_brokers
from cdc_sidecar.kafka.event_topics import EventTopics
from cdc_sidecar.kafka.position import PositionRecord, SourceIdentity, instance
from cdc_sidecar.kafka.topics import TopicCatalog
from cdc_sidecar.postgres.lsn import Lsn, format_lsn
from cdc_sidecar.postgres.server import read_server
from cdc_sidecar.postgres.walsender import WalsenderConnection
from cdc_sidecar.runtime.changes import changes_since
from cdc_sidecar.runtime.publisher import PositionedProducer
from cdc_sidecar.runtime.resources import Resources
from cdc_sidecar.runtime.telemetry import Telemetry


class SessionStart:
    """Examines and claims for one session; later claims again for its publisher."""

    def __init__(
        self, resources: Resources, capture: Capture, topics: TopicCatalog, telemetry: Telemetry
    ) -> None:
        self._resources = resources
        self._config = resources.config
        self._capture = capture
        self._topics = topics
        self._telemetry = telemetry
        self._claimant = Claimant(
            resources.config, topics, self._acknowledged, resources.stopping.is_set
        )
        self.internal = self._claimant.internal

    def examine(self, connection: WalsenderConnection) -> SourceView:
        """Examine source and position without claiming.

        Raises:
            SidecarError: the source contradicts the configuration or the position.

        """
        with self._resources.database.connection() as ordinary:
            server = read_server(ordinary)
            check_all(OF_SERVER, server)
            preflight.check_primary(connection, server)
            view = read_view(ordinary, server, self._config, self._capture)
        check_all(OF_SOURCE, view)
        for fault in faults_of(QUESTIONABLE, view):
            self._telemetry.log.warning(
                "source_questionable", code=fault.code, fact=fault.fact, hint=fault.hint
            )
        self._telemetry.main_beat()
        self._prepare_topics(view)
        self._telemetry.main_beat()
        self._check_source(connection)
        return view

    def _prepare_topics(self, view: SourceView) -> None:
        """Make sure that the topics exist, and check them."""
        topics, internal = self._topics, (self.internal.position, self.internal.schemas)
        topics.ensure_internal(internal)
        names = event_topics(view.tables, self._config, self._capture)
        topics.ensure(names)
        parked = list(parked_topics(view.tables, self._capture))
        topics.ensure(parked, parked=True)
        if self._config.outboxes:
            topics.describe_matching(EventTopics(self._config).is_of_an_outbox)
        check_all(
            OF_TOPICS, TopicView(topics.known([*internal, *names, *parked]), view, view.tables)
        )

    def _check_source(self, connection: WalsenderConnection) -> None:
        """Check that the position, as far as it can be read, is of this source."""
        source = self._read_source(connection)
        record = self._claimant.read_unclaimed()
        wal_end = connection.identify_system().flushed_lsn
        mismatch = Continuity(record, replace(source, wal_end=wal_end)).mismatch
        if mismatch:
            raise mismatch

    def _read_source(self, connection: WalsenderConnection) -> SourceState:
        return read_source(connection, self._resources.database, self._config)

    def claim_position(self, connection: WalsenderConnection) -> PositionedProducer:
        """Fence, read the position that counts, and make every check of I7.

        Raises:
            SidecarError: Kafka or Postgres is not available, or a person must decide.

        """
        claim = self._claim()
        with dropped_on_error(claim.producer):
            return self._check_claim(connection, claim)

    def _check_claim(self, connection: WalsenderConnection, claim: Claim) -> PositionedProducer:
        seen = Continuity(claim.record, self._read_source(connection))
        error = seen.mismatch or seen.fault(self._capture.fingerprint)
        if error:
            raise error
        if claim.record and claim.record.position:
            record = self._continued(claim.record, seen.source)
        else:
            record = self._first_start(connection, claim, seen.source)
        self._telemetry.position_claimed(record)
        return PositionedProducer(claim.producer, record)

    def _continued(self, record: PositionRecord, source: SourceState) -> PositionRecord:
        self._report_changes(record, source)
        parts = self._capture.parts
        return replace(record, identity=source.identity, instance=instance(), parts=parts)

    def _claim(self, published: Lsn | None = None) -> Claim:
        claim = self._claimant.claim(published)
        self._telemetry.brokers_reached()
        self._telemetry.hanging_transactions_ended(claim.aborted, claim.restored)
        return claim

    def _acknowledged(self) -> Lsn:
        """Return the LSN up to which the slot is confirmed."""
        return acknowledged_lsn(self._resources.database, self._config.postgres.slot)

    def reclaim(self, published: Lsn | None) -> PositionedProducer:
        """Claim again while the stream continues; called by the publisher thread.

        `published` is the position that it has committed last.

        Raises:
            SidecarError: Kafka is not available, or the position was removed.

        """
        claim = self._claim(published)
        if claim.record is None or claim.record.position is None:
            claim.producer.drop()
            raise PositionMissing(f"topic {self.internal.position} no longer has the position")
        return PositionedProducer(claim.producer, claim.record)

    def remember(self, claimed: PositionedProducer, schemas: Sequence[SchemaRecord]) -> None:
        """Write records of the schemas topic before the first row: how the tables are now.

        Raises:
            SidecarError: Kafka is not available, or another producer has claimed the position.

        """
        records = self.internal.schema_records(schemas)
        if not self._claimant.write(claimed.producer, claimed.record, *records):
            raise KafkaUnavailable("the first records took too long to be committed")

    def brokers_answer(self) -> bool:
        """Return whether any broker answers; called by the publisher thread when it has failed.

        Raises:
            KafkaRefused: a broker answers and refuses the client.

        """
        try:
            ask_brokers(self._config.kafka)
        except KafkaUnavailable:
            return False
        return True

    def _report_changes(self, record: PositionRecord, source: SourceState) -> None:
        log, slot = self._telemetry.log, source.slot
        if record.fingerprint != self._capture.fingerprint:
            changes = changes_since(record, self._config, self._capture)
            log.info("configuration_changed", since=record.fingerprint, **changes)
        if record.identity.timeline != source.identity.timeline:
            log.warning(
                "timeline_changed",
                since=record.identity.timeline,
                now=source.identity.timeline,
                slot_at=format_lsn(slot.confirmed_flush_lsn) if slot else None,
            )

    def _first_start(
        self, connection: WalsenderConnection, claim: Claim, source: SourceState
    ) -> PositionRecord:
        """Write the first position. An intent precedes the slot, in case of an interruption."""
        intent = claim.record
        record = intent or self._new_record(source.identity)
        if source.slot is None:
            if intent is None:
                self._write_intent(claim, record)
            start = self._create_slot(connection)
        else:
            start = self._begin_of_slot(source, intent)
        first = record.moved(Position(start), self._capture.fingerprint, time.time_ns() // 1000)
        self._write(claim, first)
        return first

    def _new_record(self, identity: SourceIdentity) -> PositionRecord:
        now = time.time_ns() // 1000
        fingerprint, parts = self._capture.fingerprint, self._capture.parts
        return PositionRecord(identity, None, 0, fingerprint, instance(), now, parts=parts)

    def _write_intent(self, claim: Claim, record: PositionRecord) -> None:
        """Record that the slot is about to be created, if that is allowed."""
        if not self._config.postgres.create_slot:
            raise SlotMissing(
                f"neither slot {self._config.postgres.slot} nor a position exists: this is a first"
                " start",
                hint="run what `cdc-sidecar setup-sql --diff` prints, or set create_slot = true"
                " in [postgres]",
            )
        self._write(claim, record)
        failpoints.reach(Failpoint.AFTER_SLOT_INTENT)

    def _create_slot(self, connection: WalsenderConnection) -> Lsn:
        name = self._config.postgres.slot
        with self._resources.database.connection() as ordinary:
            preflight.check_free_slot(read_server(ordinary))
        start = connection.create_slot(name, self._resources.stopping.is_set)
        failpoints.reach(Failpoint.AFTER_SLOT_CREATED)
        self._telemetry.log.info("slot_created", slot=name, consistent_point=format_lsn(start))
        return start

    def _begin_of_slot(self, source: SourceState, intent: PositionRecord | None) -> Lsn:
        """Return the LSN at which an existing slot begins, if a first start may use the slot."""
        slot = source.slot
        assert slot is not None  # noqa: S101 - the caller has asked
        slot.check(source.identity.database)
        if intent is None and not self._resources.bootstrap:
            raise PositionMissing(
                f"slot {slot.name} begins at {format_lsn(slot.confirmed_flush_lsn)}, but topic"
                f" {self.internal.position} has no position",
                cause="a first start on a slot created by hand, or the position topic was lost",
                hint="for a first start, run `cdc-sidecar run --bootstrap` once; otherwise restore"
                " the topic",
            )
        return slot.confirmed_flush_lsn

    def _write(self, claim: Claim, record: PositionRecord) -> None:
        if not self._claimant.write(claim.producer, record):
            raise KafkaUnavailable("the first position took too long to be committed")
