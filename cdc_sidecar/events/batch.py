"""Batches, which the assembler hands to the publisher: records, and the position after them."""

from dataclasses import dataclass, field

from cdc_sidecar.events.commit_times import CommitTimes
from cdc_sidecar.events.counts import Counts
from cdc_sidecar.events.parking.note import ParkedNote
from cdc_sidecar.events.position import Position
from cdc_sidecar.events.record import Record
from cdc_sidecar.events.registry.records import SchemaRecord
from cdc_sidecar.events.transaction_metadata import MetadataRecord


@dataclass(slots=True)
class Batch:
    """Records for one Kafka transaction, and the position that covers them.

    Whole transactions: `position.partial` is None and `continues` is False. A long transaction
    comes as batches whose position is partial, and a last one that `continues` and is not partial.
    A batch without records only moves the position. `end` follows the records.
    """

    position: Position
    records: list[Record] = field(default_factory=list)
    schemas: list[SchemaRecord] = field(default_factory=list)
    size: int = 0
    transactions: int = 0
    continues: bool = False
    commits: CommitTimes = field(default_factory=CommitTimes)
    counts: Counts = field(default_factory=dict)
    parked: list[ParkedNote] = field(default_factory=list)
    end: MetadataRecord | None = None  # of a transaction that was handed out in parts
