"""The start of a session: examine the source, claim the position; at a first start create both.

The examination reads source and position without claiming, because a clone must halt before it
fences anyone. The claim fences every earlier producer and then reads the position that counts (I2,
I7).
"""

import time
from dataclasses import dataclass, replace

from cdc_sidecar import failpoints
from cdc_sidecar.checks import preflight
from cdc_sidecar.checks.continuity import Continuity, SourceState
from cdc_sidecar.checks.source import read_source
from cdc_sidecar.errors import KafkaUnavailable, PositionMissing, SlotMissing
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.position import Position
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.kafka.claim import Claim, Claimant, dropped_on_error
from cdc_sidecar.kafka.client import ask_brokers
from cdc_sidecar.kafka.event_topics import EventTopics
from cdc_sidecar.kafka.position import PositionRecord, SourceIdentity, instance
from cdc_sidecar.kafka.topics import TopicCatalog
from cdc_sidecar.postgres.catalog import PublishedTable, read_published_tables
from cdc_sidecar.postgres.lsn import Lsn, format_lsn
from cdc_sidecar.postgres.server import SourceServer, check_version, read_server
from cdc_sidecar.postgres.walsender import WalsenderConnection
from cdc_sidecar.runtime.publisher import PositionedProducer
from cdc_sidecar.runtime.resources import Resources
from cdc_sidecar.runtime.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class View:
    """What an examination of the source found."""

    server: SourceServer
    tables: tuple[PublishedTable, ...]


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
        self._claimant = Claimant(resources.config, topics, resources.stopping.is_set)
        self.internal = self._claimant.internal

    def examine(self, connection: WalsenderConnection) -> View:
        """Examine source and position without claiming.

        Raises:
            SidecarError: the source contradicts the configuration or the position.

        """
        config, capture, topics = self._config, self._capture, self._topics
        with self._resources.database.connection() as ordinary:
            server = read_server(ordinary)
            check_version(server)
            preflight.check_primary(connection, server)
            preflight.check_wal_level(server)
            publication = preflight.check_publication(ordinary, config)
            tables = read_published_tables(ordinary, config.postgres.publication)
        preflight.check_tables(tables, config, capture)
        topics.ensure_internal([self.internal.position, self.internal.schemas])
        names = preflight.event_topics(tables, config, capture)
        topics.ensure(names)
        if config.outboxes:
            topics.describe_matching(EventTopics(config).is_of_an_outbox)
        preflight.check_null_keys(tables, topics.describe(names), capture, publication)
        self._check_source(connection)
        return View(server, tables)

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
        self._telemetry.log.info("position_claimed", position=_lsn_of(record))
        return PositionedProducer(claim.producer, record)

    def _continued(self, record: PositionRecord, source: SourceState) -> PositionRecord:
        self._report_changes(record, source)
        return replace(record, identity=source.identity, instance=instance())

    def _claim(self) -> Claim:
        claim = self._claimant.claim()
        self._telemetry.brokers_reached()
        self._telemetry.hanging_transactions_aborted(claim.aborted)
        return claim

    def reclaim(self) -> PositionedProducer:
        """Claim again while the stream continues; called by the publisher thread.

        Raises:
            SidecarError: Kafka is not available, or the position was removed.

        """
        claim = self._claim()
        if claim.record is None or claim.record.position is None:
            claim.producer.drop()
            raise PositionMissing(f"topic {self.internal.position} no longer has the position")
        return PositionedProducer(claim.producer, claim.record)

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
            log.info("configuration_changed", since=record.fingerprint)
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
        return PositionRecord(identity, None, 0, self._capture.fingerprint, instance(), now)

    def _write_intent(self, claim: Claim, record: PositionRecord) -> None:
        """Record that the slot is about to be created, if that is allowed."""
        if not self._config.postgres.create_slot:
            raise SlotMissing(
                f"neither slot {self._config.postgres.slot} nor a position exists: this is a first"
                " start",
                hint="run what `cdc-sidecar setup-sql` prints, or set create_slot = true",
            )
        self._write(claim, record)
        failpoints.reach(Failpoint.AFTER_SLOT_INTENT)

    def _create_slot(self, connection: WalsenderConnection) -> Lsn:
        name = self._config.postgres.slot
        start = connection.create_slot(name, self._resources.stopping.is_set)
        failpoints.reach(Failpoint.AFTER_SLOT_CREATED)
        self._telemetry.log.info("slot_created", slot=name, consistent_point=format_lsn(start))
        return start

    def _begin_of_slot(self, source: SourceState, intent: PositionRecord | None) -> Lsn:
        """Return the LSN at which an existing slot begins, if a first start may use the slot."""
        slot = source.slot
        assert slot is not None  # noqa: S101 - the caller has asked
        if intent is None and not self._resources.bootstrap:
            raise PositionMissing(
                f"slot {slot.name} begins at {format_lsn(slot.confirmed_flush_lsn)}, but topic"
                f" {self.internal.position} has no position",
                cause="a first start on a slot created by hand, or the position topic was lost",
                hint="for a first start, run `cdc-sidecar run --bootstrap` once; otherwise restore"
                " the topic",
            )
        slot.check(source.identity.database)
        return slot.confirmed_flush_lsn

    def _write(self, claim: Claim, record: PositionRecord) -> None:
        if not self._claimant.write(claim, record):
            raise KafkaUnavailable("the first position took too long to be committed")


def _lsn_of(record: PositionRecord) -> str | None:
    return format_lsn(record.position.end_lsn) if record.position else None
