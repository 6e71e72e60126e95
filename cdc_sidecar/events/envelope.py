"""The envelope round a row, as Avro bytes; what is the same for a transaction is encoded once.

The order of fields is the schema's (`schema.envelope_schema`): before, after, source, transaction,
op, ts_ms, ts_us, ts_ns, unchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cdc_sidecar.events.binary import (
    EMPTY,
    NULL,
    SOME,
    encode_array,
    encode_long,
    encode_string,
    varint,
)
from cdc_sidecar.postgres.pgoutput import Origin

Record = tuple[object, ...]
"""The arguments of `Producer.produce`: topic, value, key, and rarely partition and headers."""


@dataclass(frozen=True)
class Source:
    """Who publishes: the fields of `source` that never change."""

    version: str
    service: str
    database: str

    @cached_property
    def encoded(self) -> tuple[bytes, bytes]:
        """What stands before the commit time in `source`, and what stands after it."""
        before = encode_string(self.version) + _CONNECTOR + encode_string(self.service)
        return before, _NO_SNAPSHOT + encode_string(self.database)


class SourceTransaction:
    """One source transaction while it is assembled: its constant bytes, counters and records.

    `total_order` and `orders` count events from 1 (contract, "transaction").
    """

    __slots__ = (
        "_endings",
        "_received",
        "closing",
        "commit_time",
        "counters",
        "final_lsn",
        "index",
        "lsn",
        "opening",
        "records",
        "size",
        "times",
        "total_order",
        "transaction_id",
        "xid",
    )

    def __init__(
        self,
        source: Source,
        *,
        final_lsn: int,
        xid: int | None,
        commit_time: int,
        received: int,
        origin: Origin | None = None,
    ) -> None:
        self._received = received
        self.final_lsn = final_lsn
        self.xid = xid
        self.commit_time = commit_time
        self.total_order = 0
        self.counters: dict[str, list[int]] = {}
        self.lsn = -1
        self.index = 0
        self.records: list[Record] = []
        self.size = 0
        self._endings: dict[str, bytes] = {}
        self.set_origin(origin)
        before, after = source.encoded
        self.opening = before + encode_long(commit_time // 1000) + after
        self.times = SOME + encode_long(commit_time) + SOME + encode_long(commit_time * 1000)
        self.transaction_id = NULL if xid is None else SOME + encode_long(xid)

    def set_origin(self, origin: Origin | None) -> None:
        """Take the replication origin, which follows the Begin in a message of its own."""
        known = NULL + NULL
        if origin:
            known = SOME + encode_string(origin.name) + SOME + encode_long(origin.commit_lsn)
        block = NULL
        if self.xid is not None:
            block = SOME + encode_string(f"{self.xid}:{self.final_lsn}")
        self.closing = NULL + known + SOME + encode_long(self.final_lsn) + block

    def counter(self, collection: str) -> list[int]:
        """Return the one-item list that counts the events of a data collection."""
        return self.counters.setdefault(collection, [0])

    @property
    def orders(self) -> dict[str, int]:
        """How many events of each data collection there were so far."""
        return {collection: counter[0] for collection, counter in self.counters.items()}

    def ending(self, op: str) -> bytes:
        """Return op and the outer times, encoded."""
        ending = self._endings.get(op)
        if ending is None:
            now = self._received
            times = (SOME + encode_long(time) for time in (now // 1000, now, now * 1000))
            ending = self._endings[op] = encode_string(op) + b"".join(times)
        return ending

    def message_ending(self) -> bytes:
        """Return op and the one outer time of a logical message, encoded."""
        return encode_string("m") + SOME + encode_long(self._received // 1000)

    def add(self, record: Record, size: int) -> None:
        """Append one record of `size` bytes."""
        self.records.append(record)
        self.size += size


class TableEnvelope:
    """The bytes of `source` and `transaction` for the events of one table.

    What changes with the row is only the change LSN, twice, and the two ordinals.
    """

    __slots__ = (
        "_between",
        "_collection",
        "_counter",
        "_digits",
        "_head",
        "_lsn",
        "_names",
        "_source",
        "_transaction",
    )

    def __init__(self, collection: str, namespace: str, table: str) -> None:
        self._collection = collection
        self._names = encode_string(namespace) + encode_string(table)
        self._transaction: SourceTransaction | None = None
        self._counter = [0]
        self._between = b""  # from the end of `sequence` to the union branch of `lsn`
        self._digits = 0  # of the change LSN, on which the length of `sequence` depends
        self._head = b""  # up to the change LSN in `sequence`
        self._lsn = -1
        self._source = b""

    def source(self, transaction: SourceTransaction, lsn: int) -> bytes:
        """Return `source` and the transaction's id; computed once for each change LSN."""
        if lsn == self._lsn and transaction is self._transaction:
            return self._source
        if transaction is not self._transaction:
            self._enter(transaction)
        self._lsn = lsn
        change = b"%d" % lsn
        if len(change) != self._digits:
            self._set_head(transaction, len(change))
        self._source = source = b"".join(
            (self._head, change, self._between, varint(lsn << 1), transaction.closing)
        )
        return source

    def _enter(self, transaction: SourceTransaction) -> None:
        self._transaction = transaction
        self._counter = transaction.counter(self._collection)
        parts = (b'"]', transaction.times, self._names, transaction.transaction_id, SOME)
        self._between = b"".join(parts)
        self._digits = 0

    def _set_head(self, transaction: SourceTransaction, digits: int) -> None:
        self._digits = digits
        opened = b'["%d","' % transaction.final_lsn
        size = len(opened) + digits + len(b'"]')
        self._head = transaction.opening + SOME + varint(size << 1) + opened

    def next_order(self, transaction: SourceTransaction) -> bytes:
        """Count one event of the transaction given to `source` and return both ordinals."""
        transaction.total_order = total = transaction.total_order + 1
        self._counter[0] = order = self._counter[0] + 1
        first = varint(total + total)
        return first + (first if order == total else varint(order + order))

    def value(
        self,
        transaction: SourceTransaction,
        lsn: int,
        op: str,
        head: bytes,
        row: bytes,
        tail: bytes,
    ) -> bytes:
        """Count one event and return its whole value; `tail` follows the outer times."""
        source = self.source(transaction, lsn)
        order = self.next_order(transaction)
        return b"".join((head, row, source, order, transaction.ending(op), tail))


def encode_unchanged(names: Sequence[str]) -> bytes:
    """Return the array of unchanged columns, encoded."""
    return encode_array([encode_string(name) for name in names]) if names else EMPTY


_CONNECTOR = encode_string("postgresql")
_NO_SNAPSHOT = varint(0) + encode_string("false")  # the first branch of ["string", "null"]
