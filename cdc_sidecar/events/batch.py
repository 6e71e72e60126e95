"""What goes from the assembler to the publisher: records, and the position that covers them."""

from dataclasses import dataclass, field

from cdc_sidecar.events.envelope import Record
from cdc_sidecar.events.position import Position
from cdc_sidecar.events.transaction_metadata import MetadataRecord


@dataclass(slots=True)
class Batch:
    """Records for one Kafka transaction, and the position that covers them.

    Whole transactions: `position.partial` is None and `continues` is False. A long transaction
    comes as batches whose position is partial, and a last one that `continues` and is not.
    Without records a batch only moves the position. `end` follows the records.
    """

    position: Position
    records: list[Record] = field(default_factory=list)
    schemas: list[tuple[bytes, bytes]] = field(default_factory=list)
    size: int = 0
    transactions: int = 0
    continues: bool = False
    commit_time: int = 0  # microseconds since 1970, of the last transaction
    counts: dict[tuple[str, str], int] = field(default_factory=dict)  # (table, op) → events
    end: MetadataRecord | None = None  # of a transaction that was handed out in parts
