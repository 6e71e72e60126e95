"""Chunks and changes of a small table, for tests of the snapshot window."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.events.snapshot.chunk import Chunk
from cdc_sidecar.events.snapshot.covered import CoveredRange
from cdc_sidecar.events.snapshot.progress import SnapshotPhase
from cdc_sidecar.events.snapshot.watched import WatchedTable
from cdc_sidecar.events.snapshot.window import SnapshotWindow
from cdc_sidecar.events.transcode import columns_of
from cdc_sidecar.postgres.visibility import Visibility
from tests.unit import wire
from tests.unit.shop import BIGINT, TEXT, compiled, layout
from tests.unit.tuples import START

ITEMS = layout("items", {"id": BIGINT, "n": BIGINT, "label": TEXT}, key=("id",))
LABEL = frozenset({2})
"""The place of the column that may be large."""
NOTHING: frozenset[int] = frozenset()
SEES_BELOW_100 = Visibility(100, 100, frozenset())


def identity(number: int) -> tuple[bytes | None, ...]:
    """Return the identity of a row."""
    return (str(number).encode(),)


@dataclass
class Transaction:
    """A transaction of the stream, and what was written in it."""

    xid: int | None
    written: list[Any] = field(default_factory=list)
    final_lsn: int = 5000

    def append(self, _route: TopicRoute, value: bytes | None, key: bytes | None) -> None:
        """Take a record of progress."""
        self.written.append((key, value))


@dataclass
class Rows:
    """Takes the rows of chunks, and the sinks' rows as columns."""

    published: list[bytes] = field(default_factory=list)
    unwatched: list[int] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    error: Exception | None = None

    def publish(
        self, _transaction: SourceTransaction, chunk: Chunk, places: Sequence[int] | None
    ) -> int:
        """Take the rows, or refuse them."""
        if self.error:
            raise self.error
        rows = chunk.rows if places is None else [chunk.rows[place] for place in places]
        self.published += [row for row, _ in rows]
        return len(rows)

    def unwatch(self, oid: int) -> None:
        """Note the table."""
        self.unwatched.append(oid)

    def insert(self, _transaction: SourceTransaction, frame: bytes) -> None:
        """Take a new row."""
        self.events.append(columns_of(frame, START)[0])

    def update(self, _transaction: SourceTransaction, frame: bytes) -> None:
        """Take the new row of an update."""
        start = START
        if frame[START - 1 : START] != b"N":
            start = columns_of(frame, START)[1] + 1
        self.events.append(columns_of(frame, start)[0])

    def delete(self, _transaction: SourceTransaction, _frame: bytes) -> None:
        """Take a delete."""
        self.events.append("deleted")

    def truncate(self, _transaction: SourceTransaction) -> None:
        """Take a truncate."""
        self.events.append("truncated")


class Stage:
    """One table under a window; transactions of the stream come one by one."""

    def __init__(self, **state: Any) -> None:  # noqa: ANN401 - fields of the progress
        reading = SnapshotPhase.READING
        fields: dict[str, Any] = {"phase": reading, "generation": 1, "initial": True, **state}
        self.rows = Rows()
        first = TableSnapshot(ITEMS.oid, "public.items", **fields)
        route = TopicRoute("schemas", b"", b"", 1, 1_000_000)
        self.covered: list[CoveredRange] = []
        self.window = SnapshotWindow(
            [first], self.rows, lambda: route, None, lambda _, covered: self.covered.append(covered)
        )
        self.table = WatchedTable(self.rows, self.window, ITEMS.oid, (0,))
        self.markers = 0

    @property
    def state(self) -> TableSnapshot:
        """The progress that is published."""
        return self.window.state(ITEMS.oid)

    @property
    def owed(self) -> list[str | None]:
        """The ids of the rows that must be read again."""
        return [part for key in self.state.owed for part in key]

    def expect(
        self,
        *ids: int,
        seen: Visibility = SEES_BELOW_100,
        after: TableSnapshot | None = None,
        asked: tuple[int, ...] = (),
    ) -> Chunk:
        """Let the window expect a chunk of rows `id, 0, old`."""
        self.markers += 1
        lines = [b"%d\t0\told\n" % number for number in ids]
        chunk = Chunk(
            ITEMS.relation, compiled(ITEMS), (0,), seen, lines,
            [(b"row %d" % number, None) for number in ids],
            self.state, after or self.state, tuple(map(identity, asked)),
            b"marker %d" % self.markers, 1000,
        )  # fmt: skip
        self.window.expect(chunk)
        return chunk

    def mark(self, chunk: Chunk, xid: int = 1000) -> bool:
        """Let the marker come; return whether the rows were published."""
        self.window.mark(Transaction(xid), chunk.content)  # type: ignore[arg-type]
        return chunk.published

    def change(self, xid: int, message: bytes) -> Any:  # noqa: ANN401 - a row or what was done
        """Let a change of the stream come; return the row of its event."""
        sinks = {b"I": self.table.insert, b"U": self.table.update, b"D": self.table.delete}
        sinks[message[:1]](Transaction(xid), wire.frame(1, message))  # type: ignore[arg-type]
        return self.rows.events[-1]
