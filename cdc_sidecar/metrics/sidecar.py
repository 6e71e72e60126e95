"""All metrics of one sidecar, and the text of a scrape."""

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import Info, ProcessCollector
from prometheus_client.exposition import choose_encoder

from cdc_sidecar.metrics.durations import WeightedHistogram
from cdc_sidecar.metrics.events import EventMetrics
from cdc_sidecar.metrics.outbox import OutboxMetrics
from cdc_sidecar.metrics.registry import LabelledRegistry, Maker, ReadCounter
from cdc_sidecar.metrics.slot import SlotMetrics
from cdc_sidecar.metrics.snapshot import SnapshotMetrics
from cdc_sidecar.metrics.state import StateMetrics

_LATENCIES: Final = (
    *(0.002, 0.004, 0.006, 0.008, 0.01, 0.0125, 0.015, 0.0175, 0.02, 0.03, 0.05),
    *(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
)
"""Buckets in seconds: fine around 10 to 20 ms, which is usual, and up to an outage of 5 minutes."""
_COMMITS: Final = (
    *(0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5),
    *(1, 5, 30, 60, 120, 300),
)
"""Buckets in seconds: a commit takes 3 to 5 ms, and its default time-out is five minutes."""
_RECORDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000, 200_000)
"""Buckets of the records in a Kafka transaction."""
_OUTCOMES: Final = ("committed", "aborted")


class Metrics:
    """The metrics in a registry of their own. Names are public API.

    A scrape reads values in memory and sends no request. Counters of events and transactions move
    after Kafka has committed.
    """

    def __init__(self, labels: Mapping[str, str] | None = None) -> None:
        """Give every series these labels."""
        self.registry = LabelledRegistry(labels or {})
        ProcessCollector(registry=self.registry)
        self.info = Info("cdc_sidecar", "version of the sidecar", registry=self.registry)
        make = Maker(self.registry)
        self.outbox = OutboxMetrics(self.registry)
        self.events = EventMetrics(self.registry, self.outbox)
        self.slot = SlotMetrics(self.registry)
        self.snapshot = SnapshotMetrics(self.registry)
        self._make_counters(make)
        self._make_gauges(make)
        self._make_read()
        self._make_histograms()

    def _make_counters(self, make: Maker) -> None:
        self.transactions = make.counter("source_transactions", "source transactions published")
        self.kafka_transactions = make.counter(
            "kafka_transactions", "Kafka transactions by outcome", "state"
        )
        for outcome in _OUTCOMES:
            self.kafka_transactions.labels(outcome)
        self.records = make.counter("published_records", "records in committed Kafka transactions")
        self.bytes = make.counter("published_bytes", "keys and values of events, not compressed")
        self.splits = make.counter("transaction_splits", "source transactions that were split")
        self.fences = make.counter("producer_fences", "times that our producer was fenced")
        self.recycles = make.counter(
            "producer_recycles", "producers replaced after a slow commit, or a broker's absence"
        )
        self.sessions = make.counter("sessions", "sessions by the error that ended them", "reason")

    def _make_gauges(self, make: Maker) -> None:
        self.queue_bytes = make.gauge("queue_bytes", "bytes that wait between reader and publisher")
        self.lag_seconds = make.gauge("lag_seconds", "age of the oldest change not yet published")
        self.position = make.gauge("position_lsn_bytes", "LSN up to which everything is published")
        self.acknowledged = make.gauge("acknowledged_lsn_bytes", "LSN reported as flushed")
        self.streaming = make.gauge("streaming", "1 while the stream is read")
        self.stalled = make.gauge(
            "stream_stalled", "1 while the stream makes no progress although it should"
        )

    def _make_read(self) -> None:
        """Make the metrics whose values are kept elsewhere."""
        self.state = StateMetrics()
        self.log_lines = ReadCounter("log_lines", "log lines that were written", "level")
        self.log_lines_dropped = ReadCounter("log_lines_dropped", "log lines that were not written")
        for collector in (self.state, self.log_lines, self.log_lines_dropped):
            self.registry.register(collector)

    def _make_histograms(self) -> None:
        self.commit_seconds = WeightedHistogram(
            "commit_seconds", "seconds for flush and commit of a Kafka transaction", _COMMITS
        )
        self.transaction_records = WeightedHistogram(
            "kafka_transaction_records", "records in a committed Kafka transaction", _RECORDS
        )
        self.latency = WeightedHistogram(
            "end_to_end_seconds",
            "seconds from the commit in Postgres to the commit in Kafka, by source transaction",
            _LATENCIES,
        )
        for histogram in (self.commit_seconds, self.transaction_records, self.latency):
            self.registry.register(histogram)

    def expect_sessions(self, codes: Iterable[str]) -> None:
        """Show the errors that can end a session before the first one does."""
        for code in codes:
            self.sessions.labels(code)

    def expose(self, accept: str = "") -> tuple[str, bytes]:
        """Return content type and text of a scrape: OpenMetrics if `accept` asks for it."""
        encode, kind = choose_encoder(accept)
        return kind, encode(self.registry)
