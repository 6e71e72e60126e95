"""The range of a table that a chunk covers: what a reader has there and was not sent is gone."""

from dataclasses import dataclass

from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.snapshot.chunk import Chunk
from cdc_sidecar.events.snapshot.progress import BY_KEY, SnapshotPhase


@dataclass(frozen=True, slots=True)
class CoveredRange:
    """The keys above `after`, up to and including `upto`; None is without a bound.

    Each row that the table has there has had an event with a `commit_lsn` of at least `since`.
    """

    table: str  # `schema.table`
    columns: tuple[str, ...]  # of the key
    after: tuple[str, ...] | None
    upto: tuple[str, ...] | None
    since: int


def covered_by(chunk: Chunk, after: TableSnapshot, since: int) -> CoveredRange | None:
    """Return the range of a chunk whose rows are published; `after` is the progress then.

    A table that is read by pages has only one range, at its end, since a row may move in it. Rows
    that were owed are no range. A part of a table (`where`), and a table without a key, have none.
    """
    if after.where or not chunk.identity:
        return None
    key = tuple(chunk.relation.columns[place].name for place in chunk.identity)
    if after.phase is SnapshotPhase.DONE:
        return CoveredRange(after.name, key, None, None, after.since)
    if after.by != BY_KEY or chunk.before.phase is SnapshotPhase.READ:
        return None
    upto = after.cursor if after.phase is SnapshotPhase.READING else after.bound
    before = chunk.before.cursor if chunk.before.storage == after.storage else None
    if upto is None or upto == before:
        return None
    return CoveredRange(after.name, after.columns, before, upto, since)
