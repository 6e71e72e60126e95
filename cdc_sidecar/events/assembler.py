"""The state machine between the wire and Kafka: frames in, whole source transactions out.

It is fed every XLogData frame in order, skips what the position covers (I5), and hands out batches:
whole transactions together, and the parts of a long one before its end.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from typing import Final

from cdc_sidecar.errors import InternalError, ProtocolViolation, SidecarError
from cdc_sidecar.events import twin
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.batching import Batching
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.message import MessageSink
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.relations import Relations
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.events.snapshot.chunk import PREFIX
from cdc_sidecar.events.snapshot.notifications import Notifications
from cdc_sidecar.events.snapshot.rows import SnapshotRows
from cdc_sidecar.events.snapshot.window import SnapshotWindow
from cdc_sidecar.events.transaction_metadata import TransactionMetadata
from cdc_sidecar.postgres.frames import (
    MESSAGE_AT,
    read_begin,
    read_commit,
    relation_oid,
    row_header,
    wal_start,
)
from cdc_sidecar.postgres.lsn import ZERO, Lsn, format_lsn
from cdc_sidecar.postgres.pgoutput import (
    LogicalMessage,
    Origin,
    Relation,
    Truncate,
    Type,
    check_commit,
    decode,
    read_message,
)

_INSERT, _UPDATE, _DELETE = ord("I"), ord("U"), ord("D")
_ROWS: Final = (_INSERT, _UPDATE, _DELETE)
_BEGIN, _COMMIT, _LOGICAL = ord("B"), ord("C"), ord("M")


class StreamState(Enum):
    """Where in the stream the assembler is."""

    BETWEEN = "between transactions"
    INSIDE = "inside a transaction"
    SKIPPING = "inside a transaction that the position covers"
    BROKEN = "after a frame that was refused"


class Assembler:
    """Fed by the replication thread alone; `collect` hands its batches to the queue.

    A frame that is refused breaks the stream: nothing of its transaction may be committed, and no
    further frame is accepted. Transactions that were whole before can still be collected.
    """

    def __init__(
        self,
        source: Source,
        capture: Capture,
        schemas: SchemaLog,
        position: Position,
        catalog: Catalog,
        clock: Callable[[], int],
    ) -> None:
        self.position = position
        self._clock = clock
        self._source, self._schemas, self._catalog = source, schemas, catalog
        self._window: SnapshotWindow | None = None
        self._relations = Relations(capture, source, schemas, catalog)
        self._sinks = self._relations.sinks
        self._messages = MessageSink(source, capture, schemas.registry, catalog)
        self._metadata: TransactionMetadata | None = None
        if capture.transaction_metadata:
            self._metadata = TransactionMetadata(source.service, schemas.registry, catalog)
        self._batching = Batching(position, schemas, self._metadata, clock)
        self._state = StreamState.BETWEEN
        self._final_lsn = ZERO  # of the open transaction, covered or not
        self._transaction: SourceTransaction | None = None  # only INSIDE
        self._resume: Partial | None = None  # while the open transaction's changes are published

    @property
    def tells_progress(self) -> bool:
        """Whether readers are told how far the stream is while nothing of ours happens."""
        return self._batching.tells_progress

    def watch(
        self, states: Sequence[TableSnapshot], topic: str, *, notify: bool = False
    ) -> SnapshotWindow:
        """Open the window of snapshots, whose progress is written to `topic`; before any frame.

        With `notify`, readers are told of the progress by records of a topic of their own.
        """
        registry, catalog, relations = self._schemas.registry, self._catalog, self._relations
        rows = SnapshotRows(self._source, registry, catalog, relations.unwatch)
        told = Notifications(self._source.service, registry, catalog) if notify else None
        cover = self._metadata.cover if self._metadata else None
        window = SnapshotWindow(
            states, rows, lambda: TopicRoute.open(topic, {}, registry, catalog), told, cover
        )
        self._window = relations.window = window
        return window

    @property
    def size(self) -> int:
        """Bytes that wait to be collected."""
        return self._batching.size + (self._transaction.size if self._transaction else 0)

    def feed(self, frame: bytes) -> None:
        """Accept one whole XLogData frame.

        Raises:
            SidecarError: a row, a layout or a message cannot be published, or the stream is broken.

        """
        try:
            kind = frame[MESSAGE_AT]
        except IndexError:
            raise self._broken_by(_without_message(frame), frame) from None
        try:
            if kind in _ROWS:
                lsn, oid = row_header(frame)
                transaction = self._next_change(lsn)
                if transaction is None:
                    return
                sinks = self._sinks
                sink = sinks[oid] if oid in sinks else self._relations.open(oid)
                if kind == _INSERT:
                    sink.insert(transaction, frame)
                elif kind == _UPDATE:
                    sink.update(transaction, frame)
                else:
                    sink.delete(transaction, frame)
            else:
                self._feed_message(frame, kind)
        except SidecarError as error:
            self._broken_by(error, frame)
            raise
        except struct.error as error:
            raise self._broken_by(_cut_off(frame), frame) from error

    def _next_change(self, lsn: int) -> SourceTransaction | None:
        """Step to a change of the open transaction; None if the position covers it."""
        transaction = self._transaction
        if transaction is None:
            if self._state is StreamState.SKIPPING:
                return None
            raise self._unexpected("a change outside of any transaction")
        transaction.step(lsn)
        if self._resume is not None:
            if self._resume.covers(lsn, transaction.index):
                return None
            self._resume = None
        return transaction

    def _unexpected(self, fact: str) -> SidecarError:
        """Return the error of a frame that does not belong here."""
        if self._state is StreamState.BROKEN:
            return InternalError("a frame was fed after one that was refused")
        return ProtocolViolation(fact)

    def _feed_message(self, frame: bytes, kind: int) -> None:
        if kind == _BEGIN:
            self._feed_begin(frame)
        elif kind == _COMMIT:
            self._feed_commit(frame)
        elif self._state is StreamState.BROKEN:
            raise self._unexpected("")
        elif kind == _LOGICAL:
            self._feed_logical_message(read_message(frame), wal_start(frame))
        else:
            self._feed_rarer(frame)

    def _feed_rarer(self, frame: bytes) -> None:
        match decode(frame[MESSAGE_AT:]):
            case Relation() as relation:
                self._relations.describe(relation)
            case Truncate() as truncate:
                self._feed_truncate(truncate, wal_start(frame))
            case Origin() as origin:
                if self._transaction:
                    self._transaction.set_origin(origin)
            case Type():
                pass  # it names a type; a plan takes what it needs from the catalog
            case message:
                raise ProtocolViolation(f"{type(message).__name__} where none can be")

    def _feed_begin(self, frame: bytes) -> None:
        if self._state is not StreamState.BETWEEN:
            raise self._unexpected("BEGIN inside a transaction")
        final_lsn, commit_time, xid = read_begin(frame)
        position, self._final_lsn = self.position, final_lsn
        if position.covers_transaction(final_lsn):
            self._state = StreamState.SKIPPING
            return
        transaction = twin.SourceTransaction(final_lsn, xid, commit_time, self._clock())
        if position.partial is not None:
            self._go_on(transaction, position.partial)
        self._batching.begin(position.partial)
        self._transaction = transaction
        self._state = StreamState.INSIDE

    def _go_on(self, transaction: SourceTransaction, partial: Partial) -> None:
        """Continue a split transaction after its published part.

        Raises:
            ProtocolViolation: the server sends another transaction, and not the rest of this one.

        """
        if transaction.final_lsn != partial.final_lsn:
            raise ProtocolViolation(
                f"transaction at {format_lsn(transaction.final_lsn)}, but the rest of the split"
                f" one at {format_lsn(partial.final_lsn)} has not come",
                cause="the publication was altered while the transaction was half published",
                hint="restore the publication and restart",
            )
        self._resume = partial
        transaction.resume(partial.total_order, partial.orders)

    def _feed_commit(self, frame: bytes) -> None:
        transaction = self._transaction
        if transaction is None and self._state is not StreamState.SKIPPING:
            raise self._unexpected("COMMIT outside of any transaction")
        commit_lsn, end_lsn = read_commit(frame)
        check_commit(self._final_lsn, commit_lsn)
        if transaction is not None:
            position = Position(end_lsn)
            self._batching.finish(transaction, position)
            self.position = position
        self._transaction, self._resume = None, None
        self._state = StreamState.BETWEEN

    def collect(self, *, checkpoint: bool = False) -> list[Batch]:
        """Hand out whole transactions, and a part of the open one once it is long enough.

        A move of the position alone is handed out only as a `checkpoint`.
        """
        return self._batching.collect(self._transaction, self.position, checkpoint=checkpoint)

    def advance(self, wal_end: Lsn) -> None:
        """Accept a keepalive: everything committed below `wal_end` has been sent."""
        quiet = self._state is StreamState.BETWEEN and self.position.partial is None
        if quiet and wal_end > self.position.end_lsn:
            self.position = Position(wal_end)
            self._batching.move(self.position)

    def _feed_truncate(self, truncate: Truncate, lsn: int) -> None:
        transaction = self._next_change(lsn)
        if transaction is None:
            return
        for oid in truncate.relation_oids:
            sink = self._sinks.get(oid) or self._relations.open(oid)
            sink.truncate(transaction)

    def _feed_logical_message(self, message: LogicalMessage, lsn: int) -> None:
        if message.transactional:
            transaction = self._next_change(lsn)
            if transaction is None:
                return
            if message.prefix == PREFIX:
                if self._window:
                    self._window.mark(transaction, message.content)
            else:
                self._messages.add(transaction, message)
        elif message.lsn > self.position.end_lsn:
            self._feed_lone_message(message)

    def _feed_lone_message(self, message: LogicalMessage) -> None:
        """Add a non-transactional message, which lies between transactions at an LSN of its own."""
        if self._state is not StreamState.BETWEEN:
            raise ProtocolViolation("a non-transactional message inside a transaction")
        now = self._clock()
        alone = twin.SourceTransaction(message.lsn, None, now, now)
        alone.step(message.lsn)
        self._messages.add(alone, message)
        position = replace(self.position, end_lsn=message.lsn)
        self._batching.begin(None)
        self._batching.finish(alone, position)
        self.position = position

    def _broken_by(self, error: SidecarError, frame: bytes) -> SidecarError:
        """Accept nothing more, and add to the error where it occurred: table, LSN, transaction."""
        if self._state is not StreamState.BROKEN:
            error.where = ", ".join(self._places(error, frame))
        self._transaction = None  # no part of it may be handed out now
        self._state = StreamState.BROKEN
        return error

    def _places(self, error: SidecarError, frame: bytes) -> list[str]:
        parts = [error.where] if error.where else []
        oid = relation_oid(frame)
        if oid is not None and not error.where:
            name = self._relations.name(oid)
            parts += [f"table {name}"] if name else []
        parts.append(f"LSN {format_lsn(wal_start(frame))}")
        if self._transaction:
            parts.append(f"transaction {self._transaction.xid}")
        return parts


def _without_message(frame: bytes) -> ProtocolViolation:
    return ProtocolViolation(f"frame of {len(frame)} bytes without a message")


def _cut_off(frame: bytes) -> ProtocolViolation:
    return ProtocolViolation(f"frame of {len(frame)} bytes cuts off a row")
