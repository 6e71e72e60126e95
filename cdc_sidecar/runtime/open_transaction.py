"""The Kafka transaction that the publisher has begun and not yet committed."""

from dataclasses import dataclass

from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.counts import add_counts


@dataclass(slots=True)
class OpenTransaction:
    """The open Kafka transaction."""

    began: float  # time.monotonic()
    batch: Batch  # the sum of everything produced so far, without the records
    alone: bool  # it holds one source transaction only, which may take long
    carries: bool = False  # its last batch ends inside a source transaction
    records: int = 0  # that were produced so far

    def add(self, batch: Batch) -> None:
        """Add a batch to the sum of those produced; librdkafka has its records now."""
        whole = self.batch
        self.records += len(batch.schemas) + len(batch.records) + (batch.end is not None)
        add_counts(whole.counts, batch.counts)
        whole.parked += batch.parked
        whole.commits.extend(batch.commits)
        self.batch = Batch(
            batch.position,
            schemas=whole.schemas + batch.schemas,
            size=whole.size + batch.size,
            transactions=whole.transactions + batch.transactions,
            commits=whole.commits,
            counts=whole.counts,
            parked=whole.parked,
        )
