"""The envelope round a row, as Avro bytes: plain Python, and the definition of `_envelope.pyx`.

The fields that are the same for a transaction are encoded once. `layout.py` gives their order.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from cdc_sidecar.events.binary import (
    EMPTY,
    NULL,
    SOME,
    encode_bytes,
    encode_long,
    encode_string,
    varint,
)
from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.layout import OF_TRANSACTION, EnvelopeLayout, Slot
from cdc_sidecar.events.parking.note import ParkedNote
from cdc_sidecar.events.record import ANY_PARTITION, Headers, Record
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.postgres.pgoutput import Origin

_Pick = Callable[[tuple[bytes, ...]], tuple[bytes, ...]]

OPS = "cudrtm"
"""Debezium's letters: create, update, delete, read (of a snapshot), truncate, message."""


@dataclass(frozen=True, slots=True)
class Source:
    """The publisher of events: the fields of `source` that never change."""

    version: str
    service: str
    database: str

    def constants(
        self, namespace: str, table: str, snapshot: str = "false"
    ) -> dict[str, str | None]:
        """Return the constant fields of the events of one table, for `lay_out`."""
        return {
            "source.version": self.version,
            "source.connector": "postgresql",
            "source.name": self.service,
            "source.snapshot": snapshot,
            "source.db": self.database,
            "source.schema": namespace,
            "source.table": table,
            "source.xmin": None,
        }


class SourceTransaction:
    """One source transaction while it is assembled; see `ports.SourceTransaction`."""

    __slots__ = (
        "_counters",
        "_encoded",
        "_origin",
        "_received",
        "commit_time",
        "counts",
        "final_lsn",
        "index",
        "lsn",
        "parked",
        "records",
        "size",
        "total_order",
        "xid",
    )

    def __init__(self, final_lsn: int, xid: int | None, commit_time: int, received: int) -> None:
        self._received = received
        self._origin: Origin | None = None
        self._encoded: tuple[bytes, ...] | None = None
        self._counters: dict[str, list[int]] = {}
        self.final_lsn = final_lsn
        self.xid = xid
        self.commit_time = commit_time
        self.total_order = 0
        self.lsn = -1
        self.index = 0
        self.records: list[Record] = []
        self.size = 0
        self.counts: defaultdict[Count, int] = defaultdict(int)
        self.parked: list[ParkedNote] = []

    def set_origin(self, origin: Origin) -> None:
        """Accept the replication origin, which follows the Begin in a message of its own."""
        self._origin, self._encoded = origin, None

    def resume(self, total_order: int, orders: Mapping[str, int]) -> None:
        """Continue the numbers after the events that an earlier session has published."""
        self.total_order = total_order
        self._counters = {name: [count] for name, count in orders.items()}

    def step(self, lsn: int) -> None:
        """Move the cursor to the next change."""
        if lsn == self.lsn:
            self.index += 1
        else:
            self.lsn, self.index = lsn, 0

    @property
    def orders(self) -> dict[str, int]:
        """How many events of each data collection there are, in the order of their first ones."""
        return {collection: counter[0] for collection, counter in self._counters.items()}

    def find_counter(self, collection: str) -> list[int] | None:
        """Return the one-item list that counts a data collection; None before its first event."""
        return self._counters.get(collection)

    def make_counter(self, collection: str) -> list[int]:
        """Return that list; create it if there is none."""
        return self._counters.setdefault(collection, [0])

    def count(self, key: Count) -> None:
        """Add one to a count."""
        self.counts[key] += 1

    def append(
        self,
        route: TopicRoute,
        value: bytes | None,
        key: bytes | None,
        headers: Headers | None = None,
    ) -> None:
        """Add a record that has no number; `key` is without the route's prefix."""
        framed = None if key is None else route.key_prefix + key
        record = Record(route.topic, value, framed, ANY_PARTITION, headers)
        size = record.size
        if size > route.limit:
            raise route.too_large(size)
        self.records.append(record)
        self.size += size

    def add(self, record: Record) -> None:
        """Add a record that was made and checked by its route."""
        self.records.append(record)
        self.size += record.size

    def release(self) -> None:
        """Drop records, counts and notes, because a batch has them now."""
        self.records, self.counts, self.size = [], defaultdict(int), 0
        self.parked = []

    @property
    def encoded(self) -> tuple[bytes, ...]:
        """The fields of `OF_TRANSACTION`, in that order."""
        if self._encoded is None:
            self._encoded = self._encode()
        return self._encoded

    def _encode(self) -> tuple[bytes, ...]:
        xid, commit, received, origin = self.xid, self.commit_time, self._received, self._origin
        return (
            encode_long(commit // 1000),
            encode_long(commit),
            encode_long(commit * 1000),
            NULL if xid is None else SOME + encode_long(xid),
            SOME + encode_string(origin.name) if origin else NULL,
            SOME + encode_long(origin.commit_lsn) if origin else NULL,
            encode_long(self.final_lsn),
            NULL if xid is None else SOME,
            b"" if xid is None else encode_bytes(b"%d:%d" % (xid, self.final_lsn)),
            encode_long(received // 1000),
            encode_long(received),
            encode_long(received * 1000),
        )


class Envelope:
    """Makes the events of one data collection; see `ports.Envelope`.

    The pieces of an event stand in a list in the order of the layout. A new transaction replaces
    its pieces, a new change LSN replaces two, and an event replaces the rest.
    """

    def __init__(self, collection: str, route: TopicRoute, layout: EnvelopeLayout) -> None:
        self._collection = collection
        self._route = route
        self._topic, self._key_prefix, self._limit = route.topic, route.key_prefix, route.limit
        self._counted = {op: Count(Counted.EVENTS, collection, op) for op in OPS}
        self._transaction: SourceTransaction | None = None
        self._counter: list[int] | None = None
        self._lsn = -1
        self._digits = 0  # of the change LSN, on which the length of `sequence` depends
        self._opened = b""  # `sequence` up to the change LSN, with its length
        self._constants = tuple(part for part in layout if not isinstance(part, Slot))
        self._segments, places = _split(layout)
        self._pieces = [b""] * (len(places) + len(self._segments))
        self._sequence, self._change = places[Slot.SEQUENCE], places[Slot.LSN]
        self._total = places[Slot.TOTAL_ORDER]
        self._order = places[Slot.COLLECTION_ORDER]
        self._op = places[Slot.OP]
        self._has_rows = Slot.BEFORE in places
        self._before, self._after = places.get(Slot.BEFORE, 0), places.get(Slot.AFTER, 0)
        self._own = places[Slot.UNCHANGED if Slot.UNCHANGED in places else Slot.MESSAGE]

    def append(
        self,
        transaction: SourceTransaction,
        op: str,
        before: bytes | None,
        after: bytes | None,
        own: bytes,
        key: bytes | None,
    ) -> None:
        """Encode an event, check it, give it its numbers, count it, and add its record."""
        value = self.encode(transaction, op, before, after, own, 1)
        framed = None if key is None else self._key_prefix + key
        size = len(value) if framed is None else len(value) + len(framed)
        if size > self._limit:
            raise self._route.too_large(size)
        if self._counter:  # as `_number` does, without the call
            transaction.total_order += 1
            self._counter[0] += 1
            transaction.counts[self._counted[op]] += 1
        else:
            self._number(transaction, op)
        transaction.records.append(Record(self._topic, value, framed))
        transaction.size += size

    def append_rows(
        self, transaction: SourceTransaction, rows: Sequence[tuple[bytes, bytes | None]]
    ) -> None:
        """Append an `r` event for each row with its key; all are counted at once."""
        for row, key in rows:
            self.append(transaction, "r", None, row, EMPTY, key)

    def encode(
        self,
        transaction: SourceTransaction,
        op: str,
        before: bytes | None,
        after: bytes | None,
        own: bytes,
        ahead: int,
    ) -> bytes:
        """Return the value of the event that is `ahead` numbers after the last one."""
        if transaction is not self._transaction:
            self._enter(transaction)
        if transaction.lsn != self._lsn:
            self._move(transaction)
        pieces = self._pieces
        if self._has_rows:
            pieces[self._before] = NULL if before is None else SOME + before
            pieces[self._after] = NULL if after is None else SOME + after
        pieces[self._op] = _OPS[op]
        pieces[self._own] = own
        if transaction.xid is not None:
            total, counter = transaction.total_order + ahead, self._counter
            order = counter[0] + ahead if counter else self._find_order(transaction) + ahead
            first = pieces[self._total] = varint(total + total)
            pieces[self._order] = first if order == total else varint(order + order)
        return b"".join(pieces)

    def _find_order(self, transaction: SourceTransaction) -> int:
        """Return how many events of the collection the transaction has."""
        counter = self._counter = transaction.find_counter(self._collection)
        return counter[0] if counter else 0

    def extend(
        self, transaction: SourceTransaction, ops: tuple[str, ...], records: list[Record]
    ) -> None:
        """Give a number to one event for each op, count it, and add the records."""
        for op in ops:
            self._number(transaction, op)
        transaction.records += records
        transaction.size += sum(record.size for record in records)

    def _number(self, transaction: SourceTransaction, op: str) -> None:
        if transaction.xid is not None:
            counter = self._counter
            if counter is None:
                counter = self._counter = transaction.make_counter(self._collection)
            transaction.total_order += 1
            counter[0] += 1
        transaction.counts[self._counted[op]] += 1

    def _enter(self, transaction: SourceTransaction) -> None:
        """Write what is the same for all events of a transaction."""
        self._transaction = transaction
        numbered = transaction.xid is not None
        self._counter = transaction.find_counter(self._collection) if numbered else None
        self._lsn, self._digits = -1, 0
        parts, pieces = transaction.encoded + self._constants, self._pieces
        for place, pick in self._segments:
            pieces[place] = b"".join(pick(parts))
        pieces[self._total] = pieces[self._order] = b""

    def _move(self, transaction: SourceTransaction) -> None:
        """Write what changes with the change LSN."""
        self._lsn = lsn = transaction.lsn
        change = b"%d" % lsn
        if len(change) != self._digits:
            self._digits = len(change)
            opened = b'["%d","' % transaction.final_lsn
            self._opened = varint((len(opened) + len(change) + 2) << 1) + opened
        self._pieces[self._sequence] = self._opened + change + b'"]'
        self._pieces[self._change] = varint(lsn + lsn)


def _split(layout: EnvelopeLayout) -> tuple[list[tuple[int, _Pick]], dict[Slot, int]]:
    """Return the segments that are the same for a transaction, and the places of the other slots.

    A segment picks its parts among those of `OF_TRANSACTION` and the constants after them.
    """
    segments: list[tuple[int, _Pick]] = []
    places: dict[Slot, int] = {}
    indices: list[int] = []
    constants = len(OF_TRANSACTION)
    for part in (*layout, None):
        if isinstance(part, bytes):
            indices.append(constants)
            constants += 1
        elif part in OF_TRANSACTION:
            indices.append(OF_TRANSACTION.index(part))
        else:
            if indices:
                segments.append((len(segments) + len(places), _picking(indices)))
                indices = []
            if part:
                places[part] = len(segments) + len(places)
    return segments, places


def _picking(indices: list[int]) -> _Pick:
    first = indices[0]
    return itemgetter(*indices) if len(indices) > 1 else itemgetter(slice(first, first + 1))


_OPS = {op: encode_string(op) for op in OPS}
