"""Reads one table in chunks: which rows come next, and what the table looks like now.

A table is divided by its pages (`ctid`) where no value can be missing in the stream, because it has
no TOASTed values or its old rows are whole. Otherwise it is divided by its key.
"""

from dataclasses import dataclass, replace
from typing import Final

from cdc_sidecar.checks.snapshots import HOW_TO_READ_KEYLESS, is_readable
from cdc_sidecar.config.model import Snapshot, Table
from cdc_sidecar.errors import LayoutRefused, PostgresBusy
from cdc_sidecar.events import twin
from cdc_sidecar.events.copy_line import fields_of
from cdc_sidecar.events.plan import Plan, compile_plan
from cdc_sidecar.events.ports import Transcoder
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.snapshot.chunk import Chunk, Identity
from cdc_sidecar.events.snapshot.copied_lines import CopiedLines
from cdc_sidecar.events.snapshot.progress import BY_KEY, BY_PAGES, SnapshotPhase
from cdc_sidecar.events.snapshot.window import SnapshotWindow
from cdc_sidecar.postgres.chunks import (
    STATEMENT_TIMEOUT,
    ChunkReader,
    Part,
    ReadableTable,
    TableSize,
    compare,
    one_of,
    pages,
    reads_pages,
)
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.sql_names import always_quoted
from cdc_sidecar.runtime.markers import mark, new_content

_OWED_AT_ONCE: Final = 1000
_FIRST_ROWS: Final = 500
"""Rows of the first chunk of a table that was never analysed: each may be large."""
_TOO_LARGE: Final = 4
"""A chunk of several rows may have this many times the bytes that are wanted, and the next one may
be this many times larger."""


@dataclass(slots=True)
class _Shape:
    """A table as it is now."""

    readable: ReadableTable
    plan: Plan
    transcoder: Transcoder
    source: str  # in FROM and LOCK

    @property
    def relation(self) -> Relation:
        """Its layout, as the stream has it."""
        return self.readable.published.relation

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row."""
        return self.readable.published.facts.key_columns

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read: those that the stream has."""
        return tuple(column.name for column in self.relation.columns)

    def places(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Return the places of columns."""
        return tuple(self.columns.index(name) for name in names)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows, the state after them, and the owed rows that were asked for."""

    read: CopiedLines
    after: TableSnapshot
    asked: tuple[Identity, ...] = ()


class TableReading:
    """Reads the chunks of one table; used by the snapshot thread."""

    def __init__(
        self,
        reader: ChunkReader,
        window: SnapshotWindow,
        settings: Snapshot,
        table: Table,
        oid: int,
    ) -> None:
        """Read `oid`, which is configured by `table`, with `reader`."""
        self._reader = reader
        self._window = window
        self._settings = settings
        self._table = table
        self._parks = table.on_error == "park"
        self._oid = oid
        self._where = ""
        self._shape: _Shape | None = None
        self._rows = min(_FIRST_ROWS, settings.chunk_rows)  # of the next chunk
        self._pages = 1

    def read(self, state: TableSnapshot) -> Chunk:
        """Read what follows `state`, let the window expect it, and commit the marker.

        Raises:
            SidecarError: the table cannot be read now, or not at all.

        """
        self._where = state.where
        while True:
            located = self._reader.locate(self._oid)
            if located is None:
                raise LayoutRefused("the table no longer exists")
            name, is_root = located
            source = name if is_root else f"ONLY {name}"
            with self._reader.transaction(source):
                chunk = self._read_locked(state, name, source)
                if chunk:
                    return chunk

    def _read_locked(self, state: TableSnapshot, name: str, source: str) -> Chunk | None:
        """Read and mark a chunk of the locked table; None to try again.

        Another table may have been locked, or the rows were too many at once.
        """
        size = self._reader.size(self._oid, name)
        if size is None or not size.is_named:
            return None
        shape = self._describe(size, source)
        begins = state.phase is SnapshotPhase.WAITING or _is_rewritten(state, size, shape)
        start = self._begin(state, size, shape) if begins else state
        piece = self._next(start, shape)
        if piece is None:
            self._shrink()
            return None
        chunk = _chunk(shape, size, piece, state)
        chunk.refused = piece.read.refused if self._parks else None
        return mark(self._reader, self._window, chunk)

    def _shrink(self) -> None:
        """Let the next chunk have fewer rows and pages.

        Raises:
            PostgresBusy: it is as small as it can be.

        """
        if self._rows == self._pages == 1:
            raise PostgresBusy(
                f"the server needs more than {STATEMENT_TIMEOUT} for a row of {self._table.name}",
                hint="let an index serve the key of the table and the row filter",
            )
        self._rows = max(1, self._rows // _TOO_LARGE)
        self._pages = max(1, self._pages // _TOO_LARGE)

    def _describe(self, size: TableSize, source: str) -> _Shape:
        """Return the table as it is; the catalog is asked only if it has changed."""
        if self._shape and self._shape.readable.signature == size.signature:
            self._shape.source = source
            return self._shape
        readable = self._reader.describe(self._oid, size.signature)
        if readable is None:
            raise LayoutRefused("the table is no longer published")
        published = readable.published
        name = published.relation.qualified_name
        if not _is_configured(self._table, name):  # the stream decides what a rename means
            raise PostgresBusy(f"{self._table.name} has the name {name} now")
        plan, mistakes = compile_plan(published.relation, published.facts, self._table)
        if plan is None:
            raise LayoutRefused("; ".join(mistakes))
        self._shape = _Shape(readable, plan, twin.Transcoder(plan), source)
        if not is_readable(self._table, published):
            raise LayoutRefused(
                "rows that are older than the slot cannot be told from each other without a key",
                hint=HOW_TO_READ_KEYLESS,
            )
        self._size_chunks(size)
        return self._shape

    def _size_chunks(self, size: TableSize) -> None:
        """Guess how many rows and pages give a chunk, from what ANALYZE has found."""
        if size.rows > 0:
            average = max(1, size.bytes // size.rows)
            fitting = max(1, self._settings.chunk_bytes // average)
            self._rows = min(self._settings.chunk_rows, fitting)
            per_page = max(1, size.rows // max(1, size.pages))
            self._pages = max(1, self._rows // per_page)

    def _begin(self, state: TableSnapshot, size: TableSize, shape: _Shape) -> TableSnapshot:
        """Return the state from which a table is read from its beginning."""
        state = replace(state, phase=SnapshotPhase.READING, estimate=max(0, size.rows))
        if reads_pages(size, shape.readable.published):
            state = replace(state, by=BY_PAGES, cursor=("0",), bound=(str(size.pages),))
            return replace(state, storage=_storage(BY_PAGES, size, shape))
        last_first = Part(order=_order(shape.key, " DESC"), limit=1)
        read = self._copy(shape, last_first, columns=shape.key)
        if read is None:
            raise PostgresBusy(f"the last key of {self._table.name} was not found in time")
        last = _texts(read.lines[0], tuple(range(len(shape.key)))) if read.lines else None
        state = replace(state, by=BY_KEY, columns=shape.key, cursor=None, bound=last)
        return replace(state, storage=_storage(BY_KEY, size, shape))

    def _next(self, state: TableSnapshot, shape: _Shape) -> _Piece | None:
        """Return what comes next; None if it is too large, and the transaction is over."""
        if state.phase is SnapshotPhase.READ:
            if not state.owed:  # an event has paid the last one
                return _Piece(CopiedLines(), state)
            owed = state.owed[: min(_OWED_AT_ONCE, self._rows)]
            asked = tuple(tuple(t if t is None else t.encode() for t in key) for key in owed)
            read = self._copy(shape, Part(where=one_of(shape.key, owed)))
            if read is None:
                return None
            self._rows = self._adapted(len(owed), read.lines)
            return _Piece(read, state, asked)
        if state.by == BY_PAGES:
            return self._next_pages(state, shape)
        return self._next_keys(state, shape)

    def _next_pages(self, state: TableSnapshot, shape: _Shape) -> _Piece | None:
        assert state.cursor and state.bound  # noqa: S101, PT018 - set when it began
        first, bound = int(state.cursor[0]), int(state.bound[0])
        end = min(first + self._pages, bound)
        read = self._copy(shape, Part(where=pages(first, end)))
        if read is None:
            return None
        self._pages = self._adapted(self._pages, read.lines)
        after = replace(state, cursor=(str(end),))
        return _Piece(read, after if end < bound else _all_read(after))

    def _next_keys(self, state: TableSnapshot, shape: _Shape) -> _Piece | None:
        if state.bound is None:  # the table was empty
            return _Piece(CopiedLines(), _all_read(state))
        conditions = [compare(state.columns, "<=", state.bound)]
        if state.cursor is not None:
            conditions.append(compare(state.columns, ">", state.cursor))
        wanted = self._rows
        part = Part(" AND ".join(conditions), _order(state.columns), wanted)
        read = self._copy(shape, part)
        if read is None:
            return None
        self._rows = min(self._settings.chunk_rows, self._adapted(wanted, read.lines))
        if len(read.lines) < wanted:  # with the lock, this is all that there is up to the bound
            return _Piece(read, _all_read(state))
        cursor = _texts(read.lines[-1], shape.places(state.columns))
        return _Piece(read, replace(state, cursor=cursor))

    def _adapted(self, now: int, lines: list[bytes]) -> int:
        """Return how many pages or rows to read next, so that a chunk has the wanted size."""
        if not lines:
            return now * 2
        settings = self._settings
        size = sum(map(len, lines))
        fitting = min(settings.chunk_rows / len(lines), settings.chunk_bytes / size)
        return max(1, int(now * min(fitting, _TOO_LARGE)))

    def _copy(self, shape: _Shape, part: Part, columns: tuple[str, ...] = ()) -> CopiedLines | None:
        """Copy rows that the publication's row filter lets through; None if they are too large.

        With `columns`, only these are copied, and nothing is transcoded.
        """
        wanted = (shape.readable.row_filter, self._where, part.where)
        conditions = [f"({each})" for each in wanted if each]
        filtered = replace(part, where=" AND ".join(conditions))
        fits = self._rows == self._pages == 1  # no smaller chunk can be read
        limit = 0 if fits else _TOO_LARGE * self._settings.chunk_bytes
        transcode = None if columns else shape.transcoder.transcode_line
        read = CopiedLines(transcode, parks=self._parks)
        copied = self._reader.copy(columns or shape.columns, shape.source, filtered, read, limit)
        return read if copied else None


def _chunk(shape: _Shape, size: TableSize, piece: _Piece, before: TableSnapshot) -> Chunk:
    """Return the chunk of rows that were read after `before`."""
    return Chunk(
        relation=shape.relation,
        plan=shape.plan,
        identity=shape.places(shape.key),
        visibility=size.snapshot,
        lines=piece.read.lines,
        rows=piece.read.rows,
        before=before,
        after=piece.after,
        asked=piece.asked,
        content=new_content(),
    )


def _is_configured(table: Table, name: str) -> bool:
    return table.matches(name) if table.is_glob else table.name == name


def _is_rewritten(state: TableSnapshot, size: TableSize, shape: _Shape) -> bool:
    """Whether pages or keys no longer mean what they meant when the table was begun."""
    return state.storage != _storage(state.by, size, shape)


def _storage(by: str, size: TableSize, shape: _Shape) -> int:
    """Return a number that changes if cursors or owed keys no longer mean what they meant.

    A partition that was attached has rows before the cursor, perhaps.
    """
    divided = by == BY_PAGES or size.kind == "p"
    return shape.readable.key_layout << 32 | (size.storage if divided else 0)


def _all_read(state: TableSnapshot) -> TableSnapshot:
    return replace(state, phase=SnapshotPhase.READ)


def _order(columns: tuple[str, ...], direction: str = "") -> tuple[str, ...]:
    return tuple(always_quoted(name) + direction for name in columns)


def _texts(line: bytes, places: tuple[int, ...]) -> tuple[str, ...]:
    """Return the texts of some values of a line, which are not NULL."""
    fields = fields_of(line)
    return tuple((fields[place] or b"").decode() for place in places)
