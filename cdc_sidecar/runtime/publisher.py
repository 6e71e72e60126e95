"""The publisher thread: batches in, Kafka transactions out; it never touches Postgres.

A Kafka transaction ends only where a source transaction ends (I4). Its last record is the position
that covers it (I1); only after its commit is an LSN acknowledged (I3).
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from cdc_sidecar import failpoints
from cdc_sidecar.config.model import Publish
from cdc_sidecar.errors import Disposition, ProducerFenced, SidecarError, TransactionFailed
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.counts import Counted, Counts, add_counts
from cdc_sidecar.events.record import Record
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.kafka.position import PositionRecord
from cdc_sidecar.logs import Logger
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.runtime.claim import Claim, InternalTopics
from cdc_sidecar.runtime.handover import Acknowledgement, BatchQueue
from cdc_sidecar.runtime.state import StateBoard

KAFKA_AWAY_AFTER: Final = 3.0  # seconds that a commit may take before readiness is withdrawn
BUSY_DELAY: Final = 0.025  # seconds that a transaction may gather while the stream is busy
MARKERS_PAUSE: Final = 0.00125
"""Seconds between a commit and the next transaction: the broker answers before it has written the
commit's markers; who begins sooner is turned away, and librdkafka waits 20 ms before it asks again.
It adds a millisecond of its own before it registers what was produced; by then the default of
`max_delay` is over, and the position among it.
"""
PROBE_PAUSE: Final = 0.5  # seconds between two questions whether a broker answers


@dataclass(slots=True)
class Open:
    """The open Kafka transaction."""

    began: float  # time.monotonic()
    oldest: int  # commit time of its first source transaction, in microseconds since 1970
    batch: Batch  # everything produced so far, without its records
    alone: bool  # one source transaction has it to itself: it may take long
    carries: bool = False  # it ends inside a source transaction, as far as it has come

    def is_long(self, config: Publish) -> bool:
        """Whether it is open for so long that it must be split."""
        return time.monotonic() - self.began >= config.split_seconds


class Publisher:
    """One session's publisher; `run` is its thread."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        claim: Claim,
        *,
        config: Publish,
        fingerprint: str,
        topics: InternalTopics,
        queue: BatchQueue,
        acknowledgement: Acknowledgement,
        reclaim: Callable[[], Claim],
        brokers_answer: Callable[[], bool],
        load_schema: Callable[[bytes, bytes], None],
        fail: Callable[[SidecarError], None],
        board: StateBoard,
        metrics: Metrics,
        log: Logger,
    ) -> None:
        self._producer = claim.producer
        self._record = claim.record
        self._config = config
        self._fingerprint = fingerprint
        self._topics = topics
        self._queue = queue
        self._acknowledgement = acknowledgement
        self._reclaim = reclaim
        self._brokers_answer = brokers_answer
        self._load_schema = load_schema
        self._fail = fail
        self._board = board
        self._metrics = metrics
        self._log = log
        self._open: Open | None = None
        self._committed_at = -math.inf  # time.monotonic() of the last commit
        self.finished = threading.Event()

    def run(self) -> None:
        """Publish until the queue is over; then leave no transaction open."""
        try:
            while not self._queue.over:
                self._step()
            self._finish()
        except SidecarError as error:
            self._abort()
            self._fail(self._outlast(error))
        finally:
            self._abort()
            self._queue.break_off()
            self.finished.set()
            self._acknowledgement.wake()

    def _outlast(self, error: SidecarError) -> SidecarError:
        """While no broker answers, keep the session: Postgres is not left for Kafka's sake."""
        if error.disposition is not Disposition.RETRY or isinstance(error, ProducerFenced):
            return error
        try:
            while not self._queue.closed and not self._brokers_answer():
                self._board.update(kafka_reachable=False)
                self._queue.await_close(PROBE_PAUSE)
        except SidecarError as refusal:
            return refusal
        return error

    def abandon(self) -> None:
        """Give it up after the grace period: it takes no further batch and fences nobody."""
        self._queue.break_off()

    def lag(self) -> float:
        """Return the age in seconds of the oldest change not yet published; 0 when idle."""
        open_ = self._open
        oldest = open_.oldest if open_ else self._queue.oldest
        return max(0.0, time.time() - oldest / 1e6) if oldest else 0.0

    def _step(self) -> None:
        """Take one batch, or commit when the open transaction has waited long enough."""
        batch = self._queue.get(self._patience())
        if batch is not None:
            self._publish(batch)
        elif self._open and not self._open.carries:
            self._commit(self._open)
        elif self._open and not self._queue.over and self._open.is_long(self._config):
            self._split(self._open)

    def _patience(self) -> float | None:
        if self._open is None:
            return None
        if self._open.carries:
            return max(0.0, self._open.began + self._config.split_seconds - time.monotonic())
        return max(0.0, self._committed_at + self._delay - time.monotonic())

    @property
    def _delay(self) -> float:
        """Seconds between two commits: a busy stream batches, a quiet one does not wait."""
        delay = self._config.max_delay
        return max(delay, BUSY_DELAY) if self._queue.busy else delay

    def _publish(self, batch: Batch) -> None:
        """Produce a batch, in a Kafka transaction of its own where it must have one.

        A source transaction whose Commit has not come may take long: whole ones do not wait for it.
        """
        alone = batch.position.partial is not None and not self._queue.holds_rest
        if alone and self._open and not batch.continues:
            self._commit(self._open)
        open_ = self._open or self._begin(batch, alone=alone)
        failpoints.reach(Failpoint.BEFORE_PRODUCE)
        for key, value in batch.schemas:
            self._load_schema(key, value)
        self._producer.produce(
            Record(self._topics.schemas, value, key, 0) for key, value in batch.schemas
        )
        self._producer.produce(batch.records, self._notice_delay)
        if batch.end:
            split = self._parts_committed
            self._producer.produce([batch.end.record(split + 1 if split else None)])
        failpoints.reach(Failpoint.AFTER_PRODUCE)
        open_.batch = _joined(open_.batch, batch)
        self._close_if_due(open_, batch)

    def _begin(self, batch: Batch, *, alone: bool) -> Open:
        time.sleep(max(0.0, self._committed_at + MARKERS_PAUSE - time.monotonic()))
        self._producer.begin()
        sum_ = Batch(batch.position)
        self._open = Open(time.monotonic(), batch.commit_time, sum_, alone)
        return self._open

    def _close_if_due(self, open_: Open, batch: Batch) -> None:
        now = time.monotonic()
        age = now - open_.began
        idle = not self._queue.size and now - self._committed_at >= self._delay
        open_.carries = batch.position.partial is not None
        if open_.carries:
            if open_.is_long(self._config):
                self._split(open_)
        elif (
            open_.alone
            or idle
            or age >= self._delay
            or open_.batch.size >= self._config.max_batch_bytes
        ):
            self._commit(open_)

    @property
    def _parts_committed(self) -> int:
        """How many parts of the source transaction that comes next are committed.

        After a position that is partial comes the rest of its transaction and nothing else.
        """
        before = self._record.position
        return before.partial.part if before and before.partial else 0

    def _split(self, open_: Open) -> None:
        """Commit a part of a source transaction that takes too long for one Kafka transaction."""
        position, part = open_.batch.position, self._parts_committed + 1
        assert position.partial is not None  # noqa: S101 - it carries
        open_.batch.position = replace(position, partial=replace(position.partial, part=part))
        self._metrics.splits.inc()
        self._log.warning(
            "transaction_split",
            transaction=position.partial.xid,
            commit_lsn=format_lsn(position.partial.final_lsn),
            part=part,
            events=position.partial.total_order,
        )
        self._commit(open_)

    def _commit(self, open_: Open) -> None:
        """Write the position last, commit, and only then acknowledge."""
        self._insist()
        record = self._record.moved(open_.batch.position, self._fingerprint, time.time_ns() // 1000)
        position = Record(self._topics.position, record.encode(), self._topics.transactional_id, 0)
        started = time.monotonic()
        self._producer.produce([position])
        failpoints.reach(Failpoint.AFTER_POSITION)
        failpoints.reach(Failpoint.BEFORE_COMMIT)
        reusable = self._producer.commit(self._notice_delay)
        failpoints.reach(Failpoint.AFTER_COMMIT)
        self._record, self._open = record, None
        self._committed_at = time.monotonic()
        self._count(open_.batch, record, time.monotonic() - started)
        failpoints.reach(Failpoint.BEFORE_ACKNOWLEDGE)
        self._acknowledgement.publish(open_.batch.position.end_lsn)
        self._metrics.acknowledged.set(open_.batch.position.end_lsn)
        if not reusable and not self._queue.broken:
            self._recycle()

    def _count(self, batch: Batch, record: PositionRecord, seconds: float) -> None:
        metrics, now = self._metrics, time.time()
        end = batch.position.end_lsn
        metrics.kafka_transactions.labels("committed").inc()
        metrics.commit_seconds.observe(seconds)
        metrics.transactions.inc(batch.transactions)
        metrics.count_events(batch.counts)
        self._warn(batch.counts)
        metrics.position.set(end)
        late = now - batch.commit_time / 1e6 if batch.commit_time else 0.0
        if batch.transactions:
            metrics.latency.observe(max(0.0, late))
        self._board.update(
            position=end,
            acknowledged=end,
            commits=record.commits,
            last_commit_at=now,
            queue_bytes=self._queue.size,
            kafka_reachable=True,
        )
        self._log.debug(
            "transaction_published",
            position=format_lsn(end),
            transactions=batch.transactions,
            bytes=batch.size,
            milliseconds=round(seconds * 1000, 1),
        )

    def _warn(self, counts: Counts) -> None:
        """Say what was counted but is a mistake of the service: a published event cannot change."""
        for (counted, table, _), count in counts.items():
            if counted is Counted.OUTBOX_UPDATES:
                self._log.warning("outbox_rows_updated", table=table, updates=count)

    def _insist(self) -> None:
        """Begin and await nothing more once the session has lost its lock.

        Raises:
            TransactionFailed: it has.

        """
        if self._queue.broken:
            raise TransactionFailed("the session ended before the commit")

    def _notice_delay(self, seconds: float) -> None:
        """Show that the brokers keep us waiting; called every second while they do."""
        self._insist()
        if seconds > KAFKA_AWAY_AFTER and self._board.now.kafka_reachable:
            self._log.warning("kafka_went_away", waiting_seconds=round(seconds, 1))
            self._board.update(kafka_reachable=False)

    def _recycle(self) -> None:
        """Replace a producer whose EndTxn may have been sent twice (I8); the stream goes on."""
        self._metrics.recycles.inc()
        self._log.warning("producer_replaced", reason="the commit was slow enough to be retried")
        expected = self._record.position
        claim = self._reclaim()
        if claim.record.position != expected:
            raise TransactionFailed(
                "the position read after a slow commit is not the one committed"
            )
        self._producer, self._record = claim.producer, claim.record

    def _finish(self) -> None:
        """Commit what is whole; abort a source transaction whose Commit has not come."""
        if self._open and not self._open.carries and not self._queue.broken:
            self._commit(self._open)

    def _abort(self) -> None:
        if self._open is None:
            return
        self._open = None
        self._metrics.kafka_transactions.labels("aborted").inc()
        aborted = self._producer.abort()
        self._log.info("transaction_aborted", certain=aborted)


def _joined(whole: Batch, batch: Batch) -> Batch:
    """Add a batch to the sum of those produced; its records are gone to librdkafka."""
    add_counts(whole.counts, batch.counts)
    return Batch(
        batch.position,
        size=whole.size + batch.size,
        transactions=whole.transactions + batch.transactions,
        commit_time=batch.commit_time or whole.commit_time,
        counts=whole.counts,
    )
