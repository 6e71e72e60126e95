"""Reports of committed Kafka transactions: to the metrics, the rates and the log."""

import time
from collections.abc import Sequence
from typing import Final

from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.counts import PUBLISHED, Counted
from cdc_sidecar.events.parking.note import ParkedNote
from cdc_sidecar.events.registry.records import LAYOUT
from cdc_sidecar.logs import Logger
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.runtime.minute import Minute
from cdc_sidecar.runtime.open_transaction import OpenTransaction
from cdc_sidecar.runtime.status_board import StatusBoard
from cdc_sidecar.tracing import Tracer

_NOTES: Final = 10
"""Parked events of one Kafka transaction that have log lines of their own."""


class CommitReport:
    """Used by the publisher thread, after Kafka has committed."""

    def __init__(
        self,
        board: StatusBoard,
        metrics: Metrics,
        log: Logger,
        minute: Minute | None,
        tracer: Tracer | None,
    ) -> None:
        self._board = board
        self._metrics = metrics
        self._log = log
        self._minute = minute
        self._tracer = tracer

    def count(self, transaction: OpenTransaction, now: float, seconds: float) -> None:
        """Count a transaction whose commit took `seconds`, until `now`."""
        metrics, batch = self._metrics, transaction.batch
        produced = transaction.records + 1  # the position
        metrics.kafka_transactions.labels("committed").inc()
        metrics.commit_seconds.observe(seconds)
        metrics.records.inc(produced)
        metrics.transaction_records.observe(produced)
        metrics.transactions.inc(batch.transactions)
        metrics.bytes.inc(batch.size)
        metrics.events.count(batch.counts)
        metrics.events.parked(batch.parked)
        metrics.position.set(batch.position.end_lsn)
        events = sum(n for (counted, *_), n in batch.counts.items() if counted in PUBLISHED)
        self._board.rates.add(events, batch.size, batch.transactions)
        self._board.activity.committed(batch, now)
        if self._minute:
            self._minute.add(events, batch.transactions)
        self._observe(batch, now)
        if self._tracer:
            self._trace(self._tracer, transaction, events)

    @staticmethod
    def _trace(tracer: Tracer, transaction: OpenTransaction, events: int) -> None:
        batch = transaction.batch
        facts: dict[str, str | int] = {
            "cdc.position": format_lsn(batch.position.end_lsn),
            "cdc.source_transactions": batch.transactions,
            "cdc.events": events,
            "cdc.bytes": batch.size,
            "messaging.system": "kafka",
            "messaging.batch.message_count": transaction.records + 1,
        }
        tracer.committed(time.monotonic() - transaction.began, facts)

    def _observe(self, batch: Batch, now: float) -> None:
        """Observe the latency of every source transaction, for a scrape and for the page."""
        late = 0.0
        for moment, transactions in batch.commits:
            late = max(0.0, now - moment / 1e6)
            if transactions:
                self._metrics.latency.observe(late, transactions)
                self._board.activity.latencies.add(late, transactions)
        if batch.transactions:
            self._metrics.outbox.late(batch.counts, late)

    def log(self, batch: Batch, seconds: float) -> None:
        """Log new schemas, and what a person should know of the rows."""
        for (counted, table, _), count in batch.counts.items():
            if counted is Counted.OUTBOX_UPDATES:
                self._log.warning("outbox_rows_updated", table=table, updates=count)
            elif counted is Counted.SKIPPED_TRUNCATES:
                self._log.warning("truncate_skipped", table=table, truncates=count)
        self._log_parked(batch.parked)
        self._log_schemas(batch)
        self._log.debug(
            "transaction_published",
            position=format_lsn(batch.position.end_lsn),
            transactions=batch.transactions,
            bytes=batch.size,
            milliseconds=round(seconds * 1000, 1),
        )

    def _log_parked(self, notes: Sequence[ParkedNote]) -> None:
        """Log where parked events were; of very many in one transaction only the first ones."""
        for note in notes[:_NOTES]:
            self._log.warning(
                "event_parked",
                table=note.origin,
                code=note.code,
                event_type=note.event_type or None,
                commit_lsn=format_lsn(note.commit_lsn),
                lsn=format_lsn(note.lsn),
                key_hash=note.key_hash,
            )
        if len(notes) > _NOTES:
            self._log.warning("events_parked", further=len(notes) - _NOTES)

    def _log_schemas(self, batch: Batch) -> None:
        """Log versions of schemas that readers see from now on."""
        for key, _ in batch.schemas:
            subject, _, version = key.decode().rpartition("/")
            if not f"{subject}/".startswith(f"{LAYOUT}/"):
                self._log.info("schema_published", subject=subject, version=int(version))
