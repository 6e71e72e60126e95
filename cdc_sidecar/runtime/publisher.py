"""The publisher thread: batches in, Kafka transactions out; it reads no changes.

A Kafka transaction ends only where a source transaction ends (I4). Its last record is the position
that covers it (I1); only after its commit is an LSN acknowledged (I3).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from cdc_sidecar import failpoints
from cdc_sidecar.config.model import Publish
from cdc_sidecar.errors import Disposition, ProducerFenced, SidecarError, TransactionFailed
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.position import Position
from cdc_sidecar.events.record import Record
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.kafka.claim import InternalTopics
from cdc_sidecar.kafka.position import PositionRecord
from cdc_sidecar.kafka.producer import Producer
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.runtime.backlog import Backlog
from cdc_sidecar.runtime.handover import Handover
from cdc_sidecar.runtime.memory import forget_frames
from cdc_sidecar.runtime.open_transaction import OpenTransaction

KAFKA_AWAY_AFTER: Final = 3.0
"""Seconds that a commit may take before readiness is withdrawn: a broker that moves its leaders
takes one or two."""
BUSY_DELAY: Final = 0.025
"""Seconds that a transaction may gather while the stream is busy. A commit costs 3 to 5 ms, so
gathering for less would spend much of the time on commits."""
MARKERS_PAUSE: Final = 0.00125
"""Seconds between a commit and the next transaction. The broker answers a commit before it has
written the markers. It rejects a producer that begins sooner, and librdkafka then waits 20 ms
before it tries again. librdkafka needs another millisecond to register the produced records. Both
are over within the default of `max_delay`, which also covers the position record.
"""
BEAT_INTERVAL: Final = 5.0
"""Seconds that an idle publisher waits at most before it beats: a wake-up costs microseconds."""
PROBE_PAUSE: Final = 0.5
"""Seconds between two questions whether a broker answers; each may take three seconds itself."""


class PublisherTelemetry(Protocol):
    """Receives the reports of the publisher."""

    def transaction_committed(
        self, transaction: OpenTransaction, record: PositionRecord, seconds: float, queued: int
    ) -> None:
        """Report a transaction whose commit took `seconds`; `queued` bytes still wait."""

    def position_acknowledged(self, position: Position) -> None:
        """Report the position that may be acknowledged to Postgres."""

    def transaction_split(self, position: Position) -> None:
        """Report that a part of a source transaction is committed."""

    def transaction_aborted(self, *, certain: bool) -> None:
        """Report an abort, and whether the brokers have confirmed it."""

    def producer_replaced(self) -> None:
        """Report that the producer is replaced."""

    def brokers_slow(self, seconds: float) -> None:
        """Report that the brokers have not answered for some seconds."""

    def brokers_away(self) -> None:
        """Report that no broker answers."""


@dataclass(frozen=True, slots=True)
class PositionedProducer:
    """A producer that has claimed the position, and the position record that it claimed."""

    producer: Producer
    record: PositionRecord


class Recovery(Protocol):
    """Lets the publisher claim the position again, and ask whether a broker answers."""

    def reclaim(self, published: Lsn | None) -> PositionedProducer:
        """Claim again while the stream continues from the position that was committed last."""

    def brokers_answer(self) -> bool:
        """Return whether any broker answers."""


@dataclass(frozen=True, slots=True)
class Publishing:
    """The settings of publishing, the configuration's fingerprint, and our own topics."""

    settings: Publish
    fingerprint: str
    topics: InternalTopics
    serve_schema: Callable[[bytes, bytes], None]  # called with each schema record once committed


class Publisher:
    """The publisher of one session; `run` is its thread."""

    def __init__(
        self,
        positioned: PositionedProducer,
        recovery: Recovery,
        publishing: Publishing,
        handover: Handover,
        backlog: Backlog,
        telemetry: PublisherTelemetry,
        fail: Callable[[SidecarError], None],
    ) -> None:
        """Begin after the claimed position; `fail` ends the session."""
        self._producer = positioned.producer
        self._record = positioned.record
        self._recovery = recovery
        self._publishing = publishing
        self._settings = publishing.settings
        self._queue = handover.queue
        self._acknowledgement = handover.acknowledgement
        self._backlog = backlog
        self._telemetry = telemetry
        self._fail = fail
        self._open: OpenTransaction | None = None
        self._committed_at = -math.inf  # time.monotonic() of the last commit
        self.beat = time.monotonic()
        """When the thread was last at work, on the monotonic clock."""

    def run(self) -> None:
        """Publish until the queue is over; then leave no transaction open."""
        try:
            error = self._publish_all()
            self._abort()
            if error:
                self._fail(self._outlast(error))
                forget_frames(error)
        finally:
            self._abort()
            self._producer.drop()
            self._queue.break_off()
            self._acknowledgement.wake()

    def _publish_all(self) -> SidecarError | None:
        """Publish until the queue is over; return the error if one ends the session sooner.

        It is returned so that nothing is handled while Kafka is asked about it: see
        `cdc_sidecar.kafka.client`.
        """
        try:
            while not self._queue.over:
                self._step()
            self._finish()
        except SidecarError as error:
            return error
        return None

    def _outlast(self, error: SidecarError) -> SidecarError:
        """Keep the session while no broker answers: an outage of Kafka need not end the stream."""
        if error.disposition is not Disposition.RETRY or isinstance(error, ProducerFenced):
            return error
        try:
            while not self._queue.closed and not self._recovery.brokers_answer():
                self.beat = time.monotonic()
                self._telemetry.brokers_away()
                self._queue.await_close(PROBE_PAUSE)
        except SidecarError as refusal:
            return refusal
        return error

    def abandon(self) -> None:
        """Give up after the grace period: no further batch is taken and no producer is fenced."""
        self._queue.break_off()

    def _step(self) -> None:
        """Take one batch, or commit when the open transaction has waited long enough."""
        self.beat = time.monotonic()
        patience = self._patience()
        batch = self._queue.get(min(patience, BEAT_INTERVAL))
        if batch is not None:
            self._publish(batch)
        elif patience > BEAT_INTERVAL and not self._queue.closed:
            return
        elif self._open and not self._open.carries:
            self._commit(self._open)
        elif self._open and not self._queue.over and self._is_long(self._open):
            self._split(self._open)

    def _patience(self) -> float:
        if self._open is None:
            return math.inf
        if self._open.carries:
            return max(0.0, self._open.began + self._settings.split_seconds - time.monotonic())
        return max(0.0, self._committed_at + self._delay - time.monotonic())

    @property
    def _delay(self) -> float:
        """Seconds between two commits: a busy stream is batched, a quiet one does not wait."""
        delay = self._settings.max_delay
        return max(delay, BUSY_DELAY) if self._queue.busy else delay

    def _publish(self, batch: Batch) -> None:
        """Produce a batch, in a Kafka transaction of its own if it needs one.

        A source transaction whose Commit has not arrived may take long, and whole transactions
        must not wait for it.
        """
        alone = batch.position.partial is not None and not self._queue.holds_rest
        if alone and self._open and not batch.continues:
            self._commit(self._open)
        open_ = self._open or self._begin(batch, alone=alone)
        self._backlog.committing_since = open_.batch.commits.first or batch.commits.first
        failpoints.reach(Failpoint.BEFORE_PRODUCE)
        schemas = self._publishing.topics.schemas
        new = (Record(schemas, value, key, 0) for key, value in batch.schemas)
        self._producer.produce(new, self._notice_delay)
        self._producer.produce(batch.records, self._notice_delay)
        if batch.end:
            split = self._parts_committed
            end = batch.end.record(split + 1 if split else None)
            self._producer.produce([end], self._notice_delay)
        failpoints.reach(Failpoint.AFTER_PRODUCE)
        open_.add(batch)
        self._close_if_due(open_, batch)

    def _begin(self, batch: Batch, *, alone: bool) -> OpenTransaction:
        time.sleep(max(0.0, self._committed_at + MARKERS_PAUSE - time.monotonic()))
        self._producer.begin()
        self._open = OpenTransaction(time.monotonic(), Batch(batch.position), alone)
        return self._open

    def _close_if_due(self, open_: OpenTransaction, batch: Batch) -> None:
        now = time.monotonic()
        age = now - open_.began
        idle = not self._queue.size and now - self._committed_at >= self._delay
        open_.carries = batch.position.partial is not None
        if open_.carries:
            if self._is_long(open_):
                self._split(open_)
        elif (
            open_.alone
            or idle
            or age >= self._delay
            or open_.batch.size >= self._settings.max_batch_bytes
        ):
            self._commit(open_)

    def _is_long(self, open_: OpenTransaction) -> bool:
        return time.monotonic() - open_.began >= self._settings.split_seconds

    @property
    def _parts_committed(self) -> int:
        """How many parts of the source transaction that comes next are committed.

        A partial position is followed by the rest of its transaction and by nothing else.
        """
        before = self._record.position
        return before.partial.part if before and before.partial else 0

    def _split(self, open_: OpenTransaction) -> None:
        """Commit a part of a source transaction that takes too long for one Kafka transaction."""
        position, part = open_.batch.position, self._parts_committed + 1
        assert position.partial is not None  # noqa: S101 - it carries a source transaction
        open_.batch.position = replace(position, partial=replace(position.partial, part=part))
        self._telemetry.transaction_split(open_.batch.position)
        self._commit(open_)

    def _commit(self, open_: OpenTransaction) -> None:
        """Write the position last, commit, and only then acknowledge."""
        self._insist()
        batch, started = open_.batch, time.monotonic()
        now = time.time_ns() // 1000
        record = self._record.moved(batch.position, self._publishing.fingerprint, now)
        position = self._publishing.topics.position_record(record)
        self._producer.produce([position], self._notice_delay)
        failpoints.reach(Failpoint.AFTER_POSITION)
        failpoints.reach(Failpoint.BEFORE_COMMIT)
        reusable = self._producer.commit(self._notice_delay)
        failpoints.reach(Failpoint.AFTER_COMMIT)
        self._record, self._open = record, None
        self._backlog.committing_since = None
        self._committed_at = time.monotonic()
        self._report(open_, self._committed_at - started)
        failpoints.reach(Failpoint.BEFORE_ACKNOWLEDGE)
        self._acknowledgement.advance(batch.position.end_lsn)
        self._telemetry.position_acknowledged(batch.position)
        if not reusable and not self._queue.broken:
            self._recycle()

    def _report(self, open_: OpenTransaction, seconds: float) -> None:
        """Report a commit to the telemetry, and its schemas to the model that HTTP serves."""
        for key, value in open_.batch.schemas:
            self._publishing.serve_schema(key, value)
        self._telemetry.transaction_committed(open_, self._record, seconds, self._queue.size)

    def _insist(self) -> None:
        """Check that the session may still begin a transaction or wait for one.

        Raises:
            TransactionFailed: the session has ended.

        """
        if self._queue.broken:
            raise TransactionFailed("the session ended before the commit")

    def _notice_delay(self, seconds: float) -> None:
        """Report that the brokers have not answered; called every second until they do."""
        self.beat = time.monotonic()
        self._insist()
        if seconds > KAFKA_AWAY_AFTER:
            self._telemetry.brokers_slow(seconds)

    def _recycle(self) -> None:
        """Replace a producer that must not be used again (I8); the stream goes on."""
        self._telemetry.producer_replaced()
        expected = self._record.position
        positioned = self._recovery.reclaim(expected.end_lsn if expected else None)
        self._producer.drop()
        self._producer, self._record = positioned.producer, positioned.record
        if positioned.record.position != expected:
            raise TransactionFailed(
                "the position read after a commit is not the one that was committed"
            )

    def _finish(self) -> None:
        """Commit what is whole; a source transaction whose Commit has not arrived is aborted."""
        if self._open and not self._open.carries and not self._queue.broken:
            self._commit(self._open)

    def _abort(self) -> None:
        if self._open is None:
            return
        self._open = None
        self._backlog.committing_since = None
        self._telemetry.transaction_aborted(certain=self._producer.abort())
