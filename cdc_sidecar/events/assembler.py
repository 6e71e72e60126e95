"""The state machine between the wire and Kafka: frames in, whole source transactions out.

It is fed every XLogData frame in order, skips what the position covers (I5), and hands out batches:
whole transactions together, and the parts of one that is too long to wait for.
"""

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Final

from cdc_sidecar.errors import ProtocolViolation, SidecarError
from cdc_sidecar.events import twin
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.boundary import Boundaries, Boundary
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.envelope import Record, Source, SourceTransaction
from cdc_sidecar.events.message import MessageSink
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.events.relations import Relations
from cdc_sidecar.events.subjects import Subjects
from cdc_sidecar.events.table import TopicFacts
from cdc_sidecar.postgres.frames import XLOG_HEADER
from cdc_sidecar.postgres.lsn import ZERO, Lsn, format_lsn
from cdc_sidecar.postgres.pgoutput import (
    LogicalMessage,
    Origin,
    Relation,
    Truncate,
    Type,
    check_commit,
    decode,
    read_begin,
    read_commit,
)
from cdc_sidecar.postgres.types import LayoutFacts

PART_BYTES: Final = 1_000_000
"""An unfinished source transaction is handed out in parts of about this many bytes."""

_HEADER: Final = XLOG_HEADER.size
_row_header = struct.Struct(">xQxxxxxxxxxxxxxxxxxI").unpack_from  # WAL start; relation oid
_INSERT, _UPDATE, _DELETE = ord("I"), ord("U"), ord("D")
_ROWS: Final = (_INSERT, _UPDATE, _DELETE)
_BEGIN, _COMMIT = ord("B"), ord("C")


class State(Enum):
    """Where in the stream we are."""

    BETWEEN = "between transactions"
    INSIDE = "inside a transaction"
    SKIPPING = "inside a transaction that the position covers"


class Assembler:
    """Fed by the replication thread alone; `take` hands its batches to the queue."""

    def __init__(
        self,
        source: Source,
        capture: Capture,
        subjects: Subjects,
        position: Position,
        *,
        read_facts: Callable[[Relation], LayoutFacts],
        topic_facts: Callable[[str], TopicFacts],
        clock: Callable[[], int],
    ) -> None:
        self.position = position
        self._source = source
        self._subjects = subjects
        self._clock = clock
        self._counts: Counter[tuple[str, str]] = Counter()
        self._relations = Relations(
            capture, subjects, self._counts, read_facts=read_facts, topic_facts=topic_facts
        )
        self._messages = MessageSink(source.service, capture.prefixes, subjects, self._counts)
        self._boundaries = (
            Boundaries(source.service, subjects, topic_facts) if capture.boundaries else None
        )
        self._begun = False  # whether the open transaction's BEGIN is handed out
        self._state = State.BETWEEN
        self._final_lsn = ZERO  # of the open transaction, covered or not
        self._transaction: SourceTransaction | None = None
        self._resume: Partial | None = None
        self._parts = 0  # handed out of the open transaction
        self._pending = Batch(position)
        self._handed_out = position
        self._ready: list[Batch] = []

    @property
    def size(self) -> int:
        """Bytes that wait to be taken."""
        return self._pending.size + (self._transaction.size if self._transaction else 0)

    def feed(self, frame: bytes) -> None:
        """Take one whole XLogData frame.

        Raises:
            SidecarError: a row, a layout or a message that cannot be published; nothing of its
                transaction may be committed.

        """
        try:
            kind = frame[_HEADER]
        except IndexError:
            raise ProtocolViolation(f"frame of {len(frame)} bytes without a message") from None
        try:
            if kind in _ROWS:
                lsn, oid = _row_header(frame)
                transaction = self._next_change(lsn)
                if transaction is None:
                    return
                sink = self._relations[oid]
                if kind == _INSERT:
                    sink.insert(transaction, frame, lsn)
                elif kind == _UPDATE:
                    sink.update(transaction, frame, lsn)
                else:
                    sink.delete(transaction, frame, lsn)
            else:
                self._feed_message(frame, kind)
        except SidecarError as error:
            self._locate(error, frame)
            self._transaction = None  # the failed row is counted: no part may be handed out now
            raise
        except struct.error as error:
            raise ProtocolViolation(f"frame of {len(frame)} bytes cuts off a row") from error

    def _next_change(self, lsn: int) -> SourceTransaction | None:
        """Count a change of the open transaction; None where the position covers it."""
        transaction = self._transaction
        if transaction is None:
            if self._state is State.SKIPPING:
                return None
            raise ProtocolViolation("a change outside of any transaction")
        if lsn == transaction.lsn:
            transaction.index += 1
        else:
            transaction.lsn = lsn
            transaction.index = 0
        if self._resume is not None:
            if self._resume.covers(lsn, transaction.index):
                return None
            self._resume = None
        return transaction

    def _feed_message(self, frame: bytes, kind: int) -> None:
        if kind == _BEGIN:
            self._feed_begin(frame)
        elif kind == _COMMIT:
            self._feed_commit(frame)
        else:
            self._feed_rarer(frame)

    def _feed_rarer(self, frame: bytes) -> None:
        match decode(frame[_HEADER:]):
            case Relation() as relation:
                self._relations.describe(relation)
            case Truncate() as truncate:
                self._feed_truncate(truncate, int.from_bytes(frame[1:9], "big"))
            case LogicalMessage() as message:
                self._feed_logical_message(message, int.from_bytes(frame[1:9], "big"))
            case Origin() as origin:
                if self._transaction:
                    self._transaction.set_origin(origin)
            case Type():
                pass  # names a type; what a plan needs of it comes from the catalog
            case message:
                raise ProtocolViolation(f"{type(message).__name__} where none can be")

    def _feed_begin(self, frame: bytes) -> None:
        if self._state is not State.BETWEEN:
            raise ProtocolViolation("BEGIN inside a transaction")
        final_lsn, commit_time, xid = read_begin(frame)
        position, self._final_lsn = self.position, final_lsn
        if position.covers_transaction(final_lsn):
            self._state = State.SKIPPING
            return
        self._state = State.INSIDE
        self._transaction = twin.SourceTransaction(
            self._source,
            final_lsn=final_lsn,
            xid=xid,
            commit_time=commit_time,
            received=self._clock(),
        )
        self._parts = 0
        self._begun = False
        if position.partial is not None:
            self._go_on(self._transaction, position.partial)

    def _go_on(self, transaction: SourceTransaction, partial: Partial) -> None:
        """Take up a split transaction behind its published part.

        Raises:
            ProtocolViolation: the server sends another one, and not its rest.

        """
        if transaction.final_lsn != partial.final_lsn:
            raise ProtocolViolation(
                f"transaction at {format_lsn(transaction.final_lsn)}, but the rest of the split"
                f" one at {format_lsn(partial.final_lsn)} has not come",
                cause="the publication was altered while the transaction was half published",
                hint="restore the publication and restart",
            )
        self._resume = partial
        self._begun = partial.total_order > 0
        transaction.total_order = partial.total_order
        transaction.counters = {name: [count] for name, count in partial.orders.items()}

    def _feed_commit(self, frame: bytes) -> None:
        if self._state is State.BETWEEN:
            raise ProtocolViolation("COMMIT outside of any transaction")
        commit_lsn, end_lsn = read_commit(frame)
        check_commit(self._final_lsn, commit_lsn)
        transaction, self._transaction, self._resume = self._transaction, None, None
        self._state = State.BETWEEN
        if transaction is None:
            return
        resumed = self.position.partial is not None
        self.position = Position(end_lsn)
        if self._parts or resumed:
            self._hand_out(transaction)
        else:
            self._gather(transaction)

    def _gather(self, transaction: SourceTransaction) -> None:
        """Append a whole transaction to the pending batch."""
        records, end = self._opened(transaction), self._end(transaction)  # may be refused
        pending = self._pending
        pending.position = self.position
        if records:
            pending.transactions += 1
            pending.records += records
        if end:
            pending.records.append(end.record(None))
        pending.size += transaction.size
        pending.commit_time = transaction.commit_time
        transaction.records, transaction.size = [], 0  # tables remember their last transaction
        self._move_counts(pending)

    def _hand_out(self, transaction: SourceTransaction) -> None:
        """Make a batch of what the open (or just ended) transaction has assembled."""
        self._close_pending()
        ended = self._transaction is None
        records = self._opened(transaction)
        batch = Batch(
            self.position if ended else self._partial(transaction),
            records=records,
            end=self._end(transaction) if ended else None,
            schemas=self._subjects.drain(),
            size=transaction.size,
            transactions=int(ended),
            continues=self._parts > 0,
            commit_time=transaction.commit_time,
        )
        self._move_counts(batch)
        transaction.records, transaction.size = [], 0
        self._parts += 1
        self._ready.append(batch)
        self._handed_out = batch.position
        self._pending = Batch(batch.position)

    def _opened(self, transaction: SourceTransaction) -> list[Record]:
        """Return the records assembled, after BEGIN where the first event is among them."""
        if self._boundaries is None or self._begun or not transaction.total_order:
            return transaction.records
        self._begun = True
        begin = self._boundaries.begin(transaction)
        transaction.size += begin.size
        return [begin.record(None), *transaction.records]

    def _end(self, transaction: SourceTransaction) -> Boundary | None:
        """Return the END of a transaction that has a BEGIN."""
        if self._boundaries is None or not transaction.total_order:
            return None
        end = self._boundaries.end(transaction)
        transaction.size += end.size
        return end

    def _partial(self, transaction: SourceTransaction) -> Position:
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
        return Position(self.position.end_lsn, partial)

    def _move_counts(self, batch: Batch) -> None:
        counts, moved = self._counts, batch.counts
        for key in counts:
            moved[key] = moved.get(key, 0) + counts[key]
        counts.clear()

    def _close_pending(self) -> None:
        """Make the pending batch ready, if it says anything, and begin another."""
        pending = self._pending
        if pending.records or pending.position != self._handed_out:
            pending.schemas = self._subjects.drain()
            self._ready.append(pending)
            self._handed_out = pending.position
            self._pending = Batch(pending.position)

    def take(self, *, checkpoint: bool = False) -> list[Batch]:
        """Hand out what is whole, and the open transaction's part once it is long enough.

        A move of the position alone is handed out only as a `checkpoint`.
        """
        transaction = self._transaction
        if transaction and transaction.size >= PART_BYTES:
            self._hand_out(transaction)
        elif self._pending.records or checkpoint:
            self._close_pending()
        ready, self._ready = self._ready, []
        return ready

    def advance(self, wal_end: Lsn) -> None:
        """Take a keepalive: everything committed below `wal_end` has been sent."""
        quiet = self._state is State.BETWEEN and self.position.partial is None
        if quiet and wal_end > self.position.end_lsn:
            self.position = self._pending.position = Position(wal_end)

    def _feed_truncate(self, truncate: Truncate, lsn: int) -> None:
        transaction = self._next_change(lsn)
        if transaction is None:
            return
        for oid in truncate.relation_oids:
            self._relations[oid].truncate(transaction, lsn)

    def _feed_logical_message(self, message: LogicalMessage, lsn: int) -> None:
        if message.transactional:
            transaction = self._next_change(lsn)
            if transaction:
                self._messages.take(transaction, message, lsn)
        elif message.lsn > self.position.end_lsn:
            self._feed_lone_message(message)

    def _feed_lone_message(self, message: LogicalMessage) -> None:
        """Publish a non-transactional message: it stands between transactions, at its own LSN."""
        if self._state is not State.BETWEEN:
            raise ProtocolViolation("a non-transactional message inside a transaction")
        now = self._clock()
        alone = twin.SourceTransaction(
            self._source, final_lsn=message.lsn, xid=None, commit_time=now, received=now
        )
        self._messages.take(alone, message, message.lsn)
        self.position = replace(self.position, end_lsn=message.lsn)
        self._gather(alone)

    def _locate(self, error: SidecarError, frame: bytes) -> None:
        """Say where an error was met: the table, the LSN, the transaction."""
        lsn = int.from_bytes(frame[1:9], "big")
        parts = [error.where] if error.where else []
        if frame[_HEADER] in _ROWS and not error.where:
            name = self._relations.name(int.from_bytes(frame[26:30], "big"))
            parts += [f"table {name}"] if name else []
        parts.append(f"LSN {format_lsn(lsn)}")
        if self._transaction:
            parts.append(f"transaction {self._transaction.xid}")
        error.where = ", ".join(parts)
