"""Reports of the pruner thread: to the log and the metrics."""

from collections import defaultdict

from cdc_sidecar.errors import SidecarError
from cdc_sidecar.logs import Logger
from cdc_sidecar.metrics.outbox import OutboxMetrics
from cdc_sidecar.runtime.outage import Outage


class PruneReport:
    """Used by the pruner thread of one session."""

    def __init__(self, log: Logger, metrics: OutboxMetrics) -> None:
        self._log = log
        self._metrics = metrics
        self._failures: defaultdict[str, Outage] = defaultdict(Outage)

    def rows_pruned(self, table: str, rows: int, partitions: int) -> None:
        """Report rows that were deleted, and partitions that were dropped."""
        seconds = self._failures[table].end()
        if seconds is not None:
            self._log.info("outbox_prune_recovered", table=table, failed_seconds=seconds)
        self._metrics.pruned(table, rows)
        if partitions:
            self._log.info("outbox_partitions_dropped", table=table, partitions=partitions)

    def prune_failed(self, table: str, error: SidecarError) -> None:
        """Report that rows could not be removed: at once, and once a minute after it."""
        seconds = self._failures[table].report()
        if seconds is not None:
            self._log.warning(
                "outbox_prune_failed",
                table=table,
                code=error.code,
                fact=error.fact,
                hint=error.hint,
                failed_seconds=seconds,
            )
