"""Telemetry: passes the reports of the threads to the status board, the metrics and the log.

The threads use the protocols that their own modules define, `PublisherTelemetry` and
`GuardianTelemetry`. The class in this module implements them.
"""

import math
import time
from collections.abc import Iterable
from typing import Final

from cdc_sidecar.checks.advice import advise_on_version
from cdc_sidecar.config.identity import config_fingerprint
from cdc_sidecar.config.model import Config
from cdc_sidecar.config.shown import shown_config
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.position import Position
from cdc_sidecar.kafka.hanging import Partition
from cdc_sidecar.kafka.position import PositionRecord
from cdc_sidecar.kafka.reason import last_reason
from cdc_sidecar.logs import Logger
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.postgres.lsn import Lsn, format_lsn
from cdc_sidecar.postgres.server import SourceServer
from cdc_sidecar.runtime.backlog import Backlog
from cdc_sidecar.runtime.commit_report import CommitReport
from cdc_sidecar.runtime.exposure import expect_configured
from cdc_sidecar.runtime.minute import Minute
from cdc_sidecar.runtime.open_transaction import OpenTransaction
from cdc_sidecar.runtime.outage import Outages
from cdc_sidecar.runtime.session_log import report_end
from cdc_sidecar.runtime.status import Phase, Status
from cdc_sidecar.runtime.status_board import StatusBoard
from cdc_sidecar.runtime.watch import Assessment, Reading
from cdc_sidecar.tracing import Tracer

_WITHOUT_LOCK: Final = (
    *(Phase.STARTING, Phase.WAITING, Phase.BACKING_OFF, Phase.STOPPED, Phase.HALTED),
)


class Telemetry:
    """The board, the metrics and the log of one daemon, or of one of its sessions."""

    def __init__(
        self,
        board: StatusBoard,
        metrics: Metrics,
        log: Logger,
        outages: Outages | None = None,
        minute: Minute | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """Report to these; all sessions of a daemon share its outages, and what else there is."""
        self.board = board
        self.metrics = metrics
        self.log = log
        self._outages = outages or Outages()
        self._minute = minute
        self._tracer = tracer
        self._committed = CommitReport(board, metrics, log, minute, self._tracer)

    def of_session(self, number: int) -> "Telemetry":
        """Return the telemetry of a session: its log lines carry the number."""
        log = self.log.bind(session=number)
        return Telemetry(self.board, self.metrics, log, self._outages, self._minute, self._tracer)

    @property
    def now(self) -> Status:
        """The newest snapshot of the status."""
        return self.board.now

    # --- the daemon and its sessions

    def configuration_loaded(self, config: Config) -> None:
        """Show a configuration that was loaded anew."""
        fingerprint = config_fingerprint(config)
        self.board.update(config_fingerprint=fingerprint, config_loaded_at=time.time())
        self.board.configuration = shown_config(config)
        expect_configured(self.metrics, config)
        self.log.info("configuration_loaded", fingerprint=fingerprint)

    def phase_entered(self, phase: Phase, session: int | None = None) -> None:
        """Show another phase; `session` is given where a session enters it."""
        self.main_beat()
        now = time.time()
        changes = {} if session is None else {"session": session, "beat": now}
        if phase in _WITHOUT_LOCK:
            changes["leader"] = False
        self.board.update(phase=phase, phase_since=now, **changes)
        self.metrics.streaming.set(phase is Phase.STREAMING)

    def main_beat(self) -> None:
        """Note that the main thread is at work."""
        self.board.beats.note({"main": time.monotonic()})

    def stream_began(self, backlog: Backlog) -> None:
        """Let the gauges show the backlog of a stream that begins."""
        self.board.backlog = backlog
        self._outages.session_succeeded()

    def stream_ended(self) -> None:
        """Let the lag grow until the next stream begins, and watch its publisher no more."""
        self.board.beats.forget("publisher")
        lag = self.board.backlog.lag()
        self.board.backlog = Backlog(idle_since=time.time() - (0.0 if math.isnan(lag) else lag))

    def source_examined(self, server: SourceServer) -> None:
        """Show the server and the database that a session reads; warn of an untested version."""
        self.main_beat()
        self.postgres_reached()
        if server.release != self.now.server_version:
            for advice in advise_on_version(server):
                self.log.warning(advice.name, fact=advice.fact, hint=advice.hint)
        self.board.update(server_version=server.release, database=server.database)

    def position_claimed(self, record: PositionRecord) -> None:
        """Report the position from which a session continues."""
        end = record.position.end_lsn if record.position else Lsn(0)
        self.board.update(position=end, commits=record.commits)
        self.log.info("position_claimed", position=format_lsn(end))

    def beat_seen(self, at: float, publisher: float) -> None:
        """Show when the threads of the stream were last at work, as the main thread sees it.

        That of the replication thread is in seconds since 1970, and that of the publisher on the
        monotonic clock.
        """
        self.board.update(beat=at)
        self.board.beats.note({"publisher": publisher, "main": time.monotonic()})

    def waiting_for(self, reason: str | None) -> None:
        """Show the reason why a session waits; None when it continues."""
        self.board.update(error=reason)

    def standby_entered(self, session: int, holder: int) -> None:
        """Report that a session waits for the lock that another sidecar holds."""
        self.postgres_reached()
        self.phase_entered(Phase.WAITING, session)
        self.board.backlog = Backlog(idle_since=math.nan)
        self.log.info("standby_entered", reason="another sidecar holds the lock", pid=holder)

    def former_walsender_awaited(self, holder: int) -> None:
        """Report that a session waits for a walsender of its own that still holds the lock."""
        self.postgres_reached()
        self.log.warning("former_walsender_awaited", pid=holder)
        self.waiting_for(
            f"our former walsender, process {holder} of the server, still holds the lock"
        )

    def standby_left(self) -> None:
        """Report that the lock is free."""
        self.log.info("standby_left", reason="the lock is free")
        self.waiting_for(None)
        if math.isnan(self.board.lag()):
            self.board.backlog = Backlog(idle_since=time.time())

    def lock_taken(self) -> None:
        """Show that this sidecar is the one that may stream."""
        self.board.update(leader=True)

    def brokers_awaited(self, reason: str) -> None:
        """Report that a session cannot begin because no broker answers."""
        self.postgres_reached()
        self._outages.kafka.begin()
        self.log.warning("kafka_awaited", reason=reason)
        self.board.update(
            kafka_reachable=False,
            kafka_reason=reason,
            error=f"no Kafka broker answers, the sidecar waits: {reason}",
        )

    def brokers_reached(self) -> None:
        """Show that Kafka is reachable."""
        self._end_kafka_outage()
        self.board.update(kafka_reachable=True)

    def _end_kafka_outage(self) -> None:
        seconds = self._outages.kafka.end()
        if seconds is not None:
            self.log.info("kafka_returned", away_seconds=seconds)

    def session_ended(self, error: SidecarError, *, host: str | None, retry: float) -> None:
        """Report why a session ended that is followed by another; `host` is that of Postgres."""
        log = self.log.bind(retry_in_seconds=round(retry, 1))
        report_end(log, self._outages, error, host=host)

    def postgres_reached(self) -> None:
        """Report that Postgres serves a session again."""
        seconds = self._outages.postgres.end()
        if seconds is not None:
            self.log.info("postgres_returned", away_seconds=seconds)

    def topics_created(self, names: Iterable[str]) -> None:
        """Report topics that the sidecar has created."""
        self.log.info("topics_created", topics=sorted(names))

    def minute_passed(self) -> None:
        """Log what was published in the last minute, if a person watches and it is over."""
        published = self._minute.take() if self._minute else None
        if published is not None:
            now = self.now
            self.log.info(
                "minute_passed",
                phase=now.phase.value,
                **published,
                lag_seconds=self.board.known_lag(1),
                position=format_lsn(now.position) if now.position else None,
            )

    def hanging_transactions_ended(
        self, aborted: Iterable[Partition], restored: Iterable[Partition]
    ) -> None:
        """Report on which partitions a hanging transaction was ended, or written again."""
        for event, partitions in (
            ("hanging_transactions_aborted", set(aborted) - set(restored)),
            ("hanging_transactions_restored", restored),
        ):
            if names := [f"{topic}-{number}" for topic, number in sorted(partitions)]:
                self.log.warning(event, partitions=names)

    # --- PublisherTelemetry

    def transaction_committed(
        self, transaction: OpenTransaction, record: PositionRecord, seconds: float, queued: int
    ) -> None:
        """Count a committed Kafka transaction and show its position."""
        now, end = time.time(), transaction.batch.position.end_lsn
        self._committed.count(transaction, now, seconds)
        self._end_kafka_outage()
        self.board.update(
            position=end,
            acknowledged=end,
            commits=record.commits,
            last_commit_at=now,
            queue_bytes=queued,
            kafka_reachable=True,
        )
        self._committed.log(transaction.batch, seconds)

    def position_acknowledged(self, position: Position) -> None:
        """Show what is reported to Postgres as flushed."""
        self.metrics.acknowledged.set(position.end_lsn)

    def transaction_split(self, position: Position) -> None:
        """Report that a source transaction is committed in parts."""
        partial = position.partial
        self.metrics.splits.inc()
        if partial:
            self.log.warning(
                "transaction_split",
                transaction=partial.xid,
                commit_lsn=format_lsn(partial.final_lsn),
                part=partial.part,
                events=partial.total_order,
            )

    def transaction_aborted(self, *, certain: bool) -> None:
        """Report an aborted Kafka transaction, and whether the brokers confirmed the abort."""
        self.metrics.kafka_transactions.labels("aborted").inc()
        self.log.info("transaction_aborted", certain=certain)

    def producer_replaced(self) -> None:
        """Report that a slow commit made the session replace its producer."""
        self.metrics.recycles.inc()
        self.log.warning("producer_replaced", reason="the commit was slow enough to be retried")

    def brokers_slow(self, seconds: float) -> None:
        """Report, once, that the brokers have not answered for some seconds."""
        if self.now.kafka_reachable:
            self._begin_kafka_outage(waiting_seconds=round(seconds, 1))
            self.board.update(kafka_reachable=False, kafka_reason=last_reason())

    def brokers_away(self) -> None:
        """Report, once, that no broker answers."""
        self._begin_kafka_outage()
        self.board.update(kafka_reachable=False, kafka_reason=last_reason())

    def _begin_kafka_outage(self, **facts: float) -> None:
        if self._outages.kafka.begin():
            self.log.warning("kafka_went_away", **facts, reason=last_reason())

    def producer_fenced(self) -> None:
        """Count that our producer was fenced."""
        self.metrics.fences.inc()

    # --- GuardianTelemetry

    def guardian_beat(self) -> None:
        """Note that the guardian is at work."""
        self.board.beats.note({"guardian": time.monotonic()})

    def guardian_failed(self, error: SidecarError) -> None:
        """Report that Postgres could not be queried; the guardian continues to check."""
        self._outages.guardian.begin()
        self.log.warning("guardian_went_blind", error=error.fact)

    def source_seen(self, reading: Reading, assessment: Assessment) -> None:
        """Show the result of a check of the slot."""
        seconds = self._outages.guardian.end()
        if seconds is not None:
            self.log.info("guardian_recovered", blind_seconds=seconds)
        self._report_changes(reading, assessment)
        slot, seconds_left = reading.slot, assessment.seconds_left
        self.metrics.slot.show(slot, reading.activity, seconds_left)
        self.metrics.stalled.set(assessment.stalled)
        self.board.update(
            slot=slot,
            slot_activity=reading.activity,
            slot_seen_at=time.time(),
            seconds_left=seconds_left,
            stalled=assessment.stalled,
            warnings=assessment.warnings,
        )

    def _report_changes(self, reading: Reading, assessment: Assessment) -> None:
        if assessment.danger_changed:
            self._report_danger(reading, assessment)
        if assessment.stalled != self.now.stalled:
            self._report_stall(reading, stalled=assessment.stalled)

    def _report_danger(self, reading: Reading, assessment: Assessment) -> None:
        left = assessment.seconds_left
        facts = {
            "wal_status": reading.slot.wal_status,
            "retained_bytes": reading.slot.retained_bytes,
            "safe_bytes": reading.slot.safe_wal_size,
            "seconds_left": None if math.isinf(left) else round(left),
        }
        if assessment.danger:
            self.log.warning("slot_in_danger", state=assessment.danger, **facts)
        else:
            self.log.info("slot_out_of_danger", **facts)

    def _report_stall(self, reading: Reading, *, stalled: bool) -> None:
        lag = reading.slot.confirmed_lag_bytes
        if stalled:
            walsender = reading.activity.walsender
            event = walsender.wait_event if walsender else None
            self.log.warning("stream_stalled", confirmed_lag_bytes=lag, wait_event=event)
        else:
            self.log.info("stream_moved_on", confirmed_lag_bytes=lag)
