"""From assembled transactions to batches: whole ones together, a long one in parts."""

from collections.abc import Callable
from typing import Final

from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.commit_times import CommitTimes
from cdc_sidecar.events.counts import add_counts
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.events.transaction_metadata import MetadataRecord, TransactionMetadata
from cdc_sidecar.postgres.lsn import Lsn

PART_BYTES: Final = 1_000_000
"""An unfinished source transaction is handed out in parts of about this many bytes: the
cost of a part is small beside the cost of its rows, and the queue (16 MB) has room for many parts.
"""


class Batching:
    """Collects finished transactions, and hands them out as batches."""

    def __init__(
        self,
        position: Position,
        schemas: SchemaLog,
        metadata: TransactionMetadata | None,
        clock: Callable[[], int],
    ) -> None:
        self._schemas = schemas
        self._metadata = metadata
        self._clock = clock
        self._pending = Batch(position)
        self._handed_out = position
        self._ready: list[Batch] = []
        self._parts = 0  # of the open transaction that this session has handed out
        self._resumed = False  # whether an earlier session has published a part of it
        self._begun = False  # whether its BEGIN is handed out

    @property
    def tells_progress(self) -> bool:
        """Whether a move of the position is published, although nothing of ours happened."""
        return self._metadata is not None

    @property
    def size(self) -> int:
        """Bytes that wait in whole transactions."""
        return self._pending.size

    def begin(self, partial: Partial | None) -> None:
        """Begin a transaction, or the rest of one whose `partial` is published."""
        self._parts = 0
        self._resumed = partial is not None
        self._begun = partial is not None and partial.total_order > 0

    def finish(self, transaction: SourceTransaction, position: Position) -> None:
        """Accept a transaction whose Commit has come, and the position after it.

        Raises:
            SidecarError: BEGIN or END is refused; nothing has changed.

        """
        begin = end = None
        if self._metadata:
            begin = self._begin_of(transaction)
            end = self._end_of(transaction, position.end_lsn)
        if self._parts or self._resumed:
            self._hand_out(transaction, position, begin, end)
        else:
            self._gather(transaction, position, begin, end)

    def move(self, position: Position) -> None:
        """Move the position where nothing was published."""
        self._pending.position = position

    def collect(
        self, transaction: SourceTransaction | None, before: Position, *, checkpoint: bool
    ) -> list[Batch]:
        """Hand out whole transactions, and a part of the open one once it is long enough.

        A move of the position alone is handed out only as a `checkpoint`.
        """
        if transaction and transaction.size >= PART_BYTES:
            begin = self._begin_of(transaction)
            self._hand_out(transaction, _inside(transaction, before), begin, None)
        elif self._pending.records or checkpoint:
            self._add_progress()
            self._close_pending()
        ready, self._ready = self._ready, []
        return ready

    def _gather(
        self,
        transaction: SourceTransaction,
        position: Position,
        begin: MetadataRecord | None,
        end: MetadataRecord | None,
    ) -> None:
        """Append a whole transaction to the pending batch."""
        pending, records = self._pending, transaction.records
        pending.position = position
        pending.size += transaction.size
        if records:
            pending.transactions += 1
            pending.commits.add(transaction.commit_time)
            if begin:
                pending.records.append(begin.record(None))
                pending.size += begin.size
            pending.records += records
        if end:
            pending.records.append(end.record(None))
            pending.size += end.size
        add_counts(pending.counts, transaction.counts)
        pending.parked += transaction.parked
        transaction.release()

    def _hand_out(
        self,
        transaction: SourceTransaction,
        position: Position,
        begin: MetadataRecord | None,
        end: MetadataRecord | None,
    ) -> None:
        """Make a batch of the records of a transaction that is open or has just ended."""
        self._close_pending()
        records = transaction.records
        if begin:
            records = [begin.record(None), *records]
            self._begun = True
        whole = int(position.partial is None)
        batch = Batch(
            position,
            records=records,
            end=end,
            schemas=self._schemas.drain(),
            size=transaction.size + sum(record.size for record in (begin, end) if record),
            transactions=whole,
            continues=self._parts > 0,
            commits=CommitTimes([[transaction.commit_time, whole]]),
            counts=transaction.counts,
            parked=transaction.parked,
        )
        transaction.release()
        self._parts += 1
        self._ready.append(batch)
        self._handed_out = position
        self._pending = Batch(position)

    def _begin_of(self, transaction: SourceTransaction) -> MetadataRecord | None:
        """Return the BEGIN of a transaction whose first event waits."""
        if self._metadata is None or self._begun or not transaction.total_order:
            return None
        return self._metadata.begin(transaction)

    def _end_of(self, transaction: SourceTransaction, end_lsn: Lsn) -> MetadataRecord | None:
        """Return the END of a transaction that has a BEGIN."""
        if self._metadata is None or not self._metadata.has_end(transaction):
            return None
        return self._metadata.end(transaction, end_lsn)

    def _add_progress(self) -> None:
        """Say in the topic of transactions how far the stream is, where nothing else does."""
        pending = self._pending
        moved = pending.position.end_lsn > self._handed_out.end_lsn
        if self._metadata and moved and not pending.records:
            progress = self._metadata.progress(pending.position.end_lsn, self._clock())
            pending.records.append(progress.record(None))
            pending.size += progress.size

    def _close_pending(self) -> None:
        """Make the pending batch ready, if it has records or moves the position."""
        pending = self._pending
        if pending.records or pending.position != self._handed_out:
            pending.schemas = self._schemas.drain()
            self._ready.append(pending)
            self._handed_out = pending.position
            self._pending = Batch(pending.position)


def _inside(transaction: SourceTransaction, before: Position) -> Position:
    """Return the position inside the open transaction, after its last change."""
    partial = Partial(
        final_lsn=Lsn(transaction.final_lsn),
        xid=transaction.xid or 0,
        lsn=Lsn(transaction.lsn),
        index=transaction.index,
        part=0,  # the publisher counts the parts that it commits
        total_order=transaction.total_order,
        orders=transaction.orders,
    )
    return Position(before.end_lsn, partial)
