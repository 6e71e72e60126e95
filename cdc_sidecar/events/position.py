"""How far the source is published: the cursor that decides which changes a replay skips (I5)."""

from dataclasses import dataclass, field

from cdc_sidecar.postgres.lsn import Lsn


@dataclass(frozen=True, slots=True)
class Partial:
    """The position inside a source transaction that was split over several Kafka transactions."""

    final_lsn: Lsn  # the transaction's commit LSN, as its Begin promised
    xid: int
    lsn: Lsn  # change LSN of the last change that is published
    index: int  # of that change among those with the same LSN
    part: int  # how many parts are published
    total_order: int  # of the last event
    orders: dict[str, int] = field(default_factory=dict)  # per data collection, of its last event

    def covers(self, lsn: int, index: int) -> bool:
        """Return whether the change at (lsn, index) of this transaction is published."""
        return (lsn, index) <= (self.lsn, self.index)


@dataclass(frozen=True, slots=True)
class Position:
    """Every transaction that ends at or below `end_lsn` is published, and `partial` of the next."""

    end_lsn: Lsn
    partial: Partial | None = None

    def covers_transaction(self, final_lsn: Lsn) -> bool:
        """Return whether the transaction with this commit LSN is published.

        Its commit record starts at that LSN, and records do not overlap.
        """
        return final_lsn < self.end_lsn
