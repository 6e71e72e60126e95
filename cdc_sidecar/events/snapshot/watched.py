"""The sink of a table whose snapshot is under way: it reports each change to the window."""

import struct
from typing import Final, cast

from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.sink import RowSink
from cdc_sidecar.events.snapshot.chunk import Identity
from cdc_sidecar.events.snapshot.window import SnapshotWindow
from cdc_sidecar.events.transcode import columns_of
from cdc_sidecar.postgres.frames import TUPLE_AT, TUPLE_KIND_AT
from cdc_sidecar.postgres.pgoutput import UNCHANGED, ColumnData

_length = struct.Struct(">I").pack
_NOTHING: Final[frozenset[int]] = frozenset()


class WatchedTable:
    """Completes the events of a table from its chunks, and reports them after they are added."""

    def __init__(
        self, sink: RowSink, window: SnapshotWindow, oid: int, identity: tuple[int, ...]
    ) -> None:
        """Watch `oid`; the columns at the places `identity` tell its rows from each other."""
        self._sink = sink
        self._window = window
        self._oid = oid
        self._places = identity

    def insert(self, transaction: SourceTransaction, frame: bytes) -> None:
        """Add the event of an Insert; a row filter makes one of an Update."""
        row, _ = columns_of(frame, TUPLE_AT)
        identity, missing = self._identity(row, row), _missing(row, None)
        self._sink.insert(transaction, frame)
        if missing and self._places:
            self._window.owe(transaction, self._oid, identity)
        self._report(transaction, identity, missing)

    def update(self, transaction: SourceTransaction, frame: bytes) -> None:
        """Add the events of an Update."""
        old: list[ColumnData] | None = None
        start = TUPLE_AT
        if frame[TUPLE_KIND_AT:TUPLE_AT] != b"N":
            old, end = columns_of(frame, TUPLE_AT)
            start = end + 1
        row, _ = columns_of(frame, start)
        was, now = self._identity(old or row, row), self._identity(row, old or row)
        missing = _missing(row, old)
        if missing:
            filled = self._fill(transaction, was, missing)
            frame = frame[:start] + _encode(row, filled) if filled else frame
            missing -= frozenset(filled)
        self._sink.update(transaction, frame)
        if was != now:
            self._report(transaction, was, _NOTHING)
            if missing:
                self._window.owe(transaction, self._oid, now)
        self._report(transaction, now, missing)

    def delete(self, transaction: SourceTransaction, frame: bytes) -> None:
        """Add the event of a Delete."""
        row, _ = columns_of(frame, TUPLE_AT)
        self._sink.delete(transaction, frame)
        self._report(transaction, self._identity(row, row), _NOTHING)

    def truncate(self, transaction: SourceTransaction) -> None:
        """Add the event of a Truncate. It waits for the lock of a chunk, so no chunk spans it."""
        self._sink.truncate(transaction)

    def _identity(self, row: list[ColumnData], other: list[ColumnData]) -> Identity:
        """Return the identity in a row; a large value that was not sent is in the other one."""
        values = (row[p] if row[p] is not UNCHANGED else other[p] for p in self._places)
        return cast("Identity", tuple(values))

    def _fill(
        self, transaction: SourceTransaction, identity: Identity, missing: frozenset[int]
    ) -> dict[int, bytes | None]:
        assert transaction.xid is not None  # noqa: S101 - rows belong to transactions
        return self._window.fill(transaction.xid, self._oid, identity, missing)

    def _report(
        self, transaction: SourceTransaction, identity: Identity, missing: frozenset[int]
    ) -> None:
        if self._places and transaction.xid is not None:
            lsn = transaction.final_lsn
            self._window.changed(transaction.xid, lsn, self._oid, identity, missing)


def _missing(row: list[ColumnData], old: list[ColumnData] | None) -> frozenset[int]:
    """Return the places of the values that neither the row nor the old row has."""
    return frozenset(
        place
        for place, value in enumerate(row)
        if value is UNCHANGED and (old is None or old[place] is None or old[place] is UNCHANGED)
    )


def _encode(row: list[ColumnData], filled: dict[int, bytes | None]) -> bytes:
    """Return a row as TupleData, with the values that were filled in."""
    parts = [len(row).to_bytes(2, "big")]
    for place, value in enumerate(row):
        text = filled.get(place, value)
        if text is UNCHANGED:
            parts.append(b"u")
        elif text is None:
            parts.append(b"n")
        else:
            parts += [b"t", _length(len(text)), text]
    return b"".join(parts)
