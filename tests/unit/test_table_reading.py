"""Which rows of a table are read next, whatever has become of the table and of its debts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from cdc_sidecar.config.model import Snapshot
from cdc_sidecar.errors import LayoutRefused, PostgresBusy
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.snapshot.progress import SnapshotPhase
from cdc_sidecar.events.snapshot.window import SnapshotWindow
from cdc_sidecar.postgres.catalog import PublishedTable
from cdc_sidecar.postgres.chunks import ChunkReader, Part, ReadableTable, TableSize
from cdc_sidecar.postgres.exchange import Lines
from cdc_sidecar.postgres.types import Membership
from cdc_sidecar.postgres.visibility import Visibility
from cdc_sidecar.runtime.table_reading import TableReading
from tests.unit.shop import table
from tests.unit.snapshots import ITEMS, identity

_SIZE = TableSize(
    Visibility.parse("100:100:"), "r", 7, is_heap=True, large_bytes=0, bytes=8192, rows=3, pages=1,
    signature="first", is_named=True,
)  # fmt: skip
_PUBLISHED = PublishedTable(
    ITEMS.relation, ITEMS.facts, (), may_select=True, membership=Membership("", "", (), "", {})
)


@dataclass
class Reader:
    """A table as the catalog shows it, and the parts of it that were copied."""

    size_now: TableSize = _SIZE
    published: PublishedTable | None = _PUBLISHED
    key_layout: int = 1
    names: list[str] = field(default_factory=lambda: ['"public"."items"'])
    lines: list[bytes] | None = None
    refused: int = 0  # how many copies are too large, or take too long
    copied: list[Part] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    locked: list[str] = field(default_factory=list)

    @contextmanager
    def transaction(self, source: str = "") -> Iterator[None]:
        """Note what was locked."""
        self.locked.append(source)
        yield

    def locate(self, _oid: int) -> tuple[str, bool] | None:
        """Return the next name; the last one stays."""
        return (self.names.pop(0) if len(self.names) > 1 else self.names[0]), False

    def size(self, _oid: int, name: str) -> TableSize:
        """Return the facts; only the last name is the table's own."""
        return replace(self.size_now, is_named=name == self.names[-1])

    def describe(self, _oid: int, signature: str) -> ReadableTable | None:
        """Return the layout."""
        found = self.published
        return ReadableTable(found, "n > 0", signature, self.key_layout) if found else None

    def copy(
        self, columns: tuple[str, ...], _source: str, part: Part, into: Lines, limit: int
    ) -> bool:
        """Give the lines one by one, or the last key."""
        self.copied.append(part)
        self.limits.append(limit)
        if len(self.copied) <= self.refused:
            return False
        for line in [b"9\n"] if columns == ("id",) else self.lines or []:
            into.lines.append(line)
            into.transcode_some()
        return True

    def emit(self, _prefix: str, _content: bytes) -> int:
        """Return an id."""
        return 1 << 33

    def commit(self) -> None:
        """Commit."""


def _state(**fields: Any) -> TableSnapshot:  # noqa: ANN401 - fields of the progress
    fields = {"generation": 1, "initial": True, "phase": "reading", **fields}
    return TableSnapshot(ITEMS.oid, "public.items", **fields)


def _reading(reader: Reader, name: str = "public.items", **settings: object) -> TableReading:
    window = SnapshotWindow([], cast("Any", None), cast("Any", None))
    config = table(name, **settings)
    return TableReading(cast("ChunkReader", reader), window, Snapshot(), config, ITEMS.oid)


def test_a_table_without_large_values_is_read_by_pages() -> None:
    reader = Reader()
    chunk = _reading(reader).read(_state(phase=SnapshotPhase.WAITING))
    assert (chunk.after.by, chunk.after.bound, chunk.after.phase) == ("ctid", ("1",), "read")
    assert reader.copied == [Part("(n > 0) AND (ctid >= '(0,0)'::tid AND ctid < '(1,0)'::tid)")]
    assert reader.locked == ['ONLY "public"."items"']


def test_a_table_with_large_values_is_read_by_its_key_up_to_the_last_one() -> None:
    reader = Reader(replace(_SIZE, large_bytes=1), lines=[b"1\t1\tx\n"] * 2)
    chunk = _reading(reader).read(_state(phase=SnapshotPhase.WAITING))
    assert (chunk.after.by, chunk.after.bound, chunk.after.phase) == ("key", ("9",), "read")
    assert [part.order for part in reader.copied] == [('"id" DESC',), ('"id"',)]
    assert reader.copied[1].where == """(n > 0) AND (("id") <= ('9'))"""


@pytest.mark.parametrize("changed", ["storage", "key"])
def test_a_table_whose_pages_or_keys_mean_something_else_is_begun_again(changed: str) -> None:
    reader = Reader()
    begun = _reading(reader).read(_state(phase=SnapshotPhase.WAITING)).after
    far = replace(begun, phase=SnapshotPhase.READING, cursor=("5",), bound=("8",))
    assert _reading(reader).read(far).after.cursor == ("8",)
    if changed == "storage":
        reader.size_now = replace(_SIZE, storage=8)
    else:
        reader.key_layout = 2
    assert _reading(reader).read(far).after.bound == ("1",)


def test_owed_rows_are_read_again() -> None:
    reader = Reader()
    begun = _reading(reader).read(_state(phase=SnapshotPhase.WAITING)).after
    chunk = _reading(reader).read(replace(begun, owed=(("3",), ("it's",))))
    assert chunk.asked == (identity(3), (b"it's",))
    assert reader.copied[-1].where == """(n > 0) AND (("id") IN (('3'), ('it''s')))"""


def test_a_debt_that_an_event_has_paid_needs_no_query() -> None:
    reader = Reader()
    begun = _reading(reader).read(_state(phase=SnapshotPhase.WAITING)).after
    copied = len(reader.copied)
    chunk = _reading(reader).read(begun)
    assert (chunk.lines, chunk.asked, chunk.after.phase) == ([], (), "read")
    assert len(reader.copied) == copied


def test_the_table_itself_is_locked_even_if_another_one_takes_its_name() -> None:
    reader = Reader(names=['"public"."items"', '"public"."later"', '"public"."last"'])
    _reading(reader, "public.*").read(_state(phase=SnapshotPhase.WAITING))
    assert reader.locked == [f'ONLY "public"."{name}"' for name in ("items", "later", "last")]


def test_a_table_under_another_name_is_not_read() -> None:
    with pytest.raises(PostgresBusy, match=r"has the name public\.items now"):
        _reading(Reader(), "public.orders").read(_state(phase=SnapshotPhase.WAITING))


def test_a_table_that_is_not_published_or_has_no_key_is_refused() -> None:
    with pytest.raises(LayoutRefused, match="no longer published"):
        _reading(Reader(published=None)).read(_state(phase=SnapshotPhase.WAITING))
    keyless = replace(_PUBLISHED, facts=replace(ITEMS.facts, key_columns=()))
    with pytest.raises(LayoutRefused, match="without a key"):
        _reading(Reader(published=keyless), unkeyed=True).read(_state(phase=SnapshotPhase.WAITING))
    duplicates = _reading(Reader(published=keyless), unkeyed=True, snapshot="duplicates")
    assert duplicates.read(_state(phase=SnapshotPhase.WAITING)).after.by == "ctid"


def test_a_chunk_that_is_too_large_is_read_in_smaller_pieces_and_at_last_without_a_limit() -> None:
    reader = Reader(lines=[b"3\t1\tx\n"], refused=5)
    begun = _reading(Reader()).read(_state(phase=SnapshotPhase.WAITING)).after
    owed = tuple((str(number),) for number in range(900))
    chunk = _reading(reader).read(replace(begun, owed=owed))
    assert len(chunk.asked) == 1
    counts = [part.where.count("('") for part in reader.copied]
    assert counts == sorted(counts, reverse=True)
    assert [limit > 0 for limit in reader.limits] == [True] * (len(counts) - 1) + [False]


def test_a_row_that_takes_too_long_is_tried_again_later() -> None:
    reader = Reader(refused=100)
    begun = _reading(Reader()).read(_state(phase=SnapshotPhase.WAITING)).after
    with pytest.raises(PostgresBusy, match="more than 30s for a row"):
        _reading(reader).read(replace(begun, owed=(("1",),)))
    reading = _reading(Reader(replace(_SIZE, large_bytes=1), refused=1))
    with pytest.raises(PostgresBusy, match="last key"):
        reading.read(_state(phase=SnapshotPhase.WAITING))
