"""How tables would be read by a snapshot, without reading them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from cdc_sidecar.checks.snapshots import check_request, is_readable
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.operations.table_gaps import read_captured
from cdc_sidecar.postgres.catalog import PublishedTable
from cdc_sidecar.postgres.chunks import ChunkReader, reads_pages

_ROWS_PER_SECOND: Final = 100_000
"""A guess: small rows come twice as fast, and large ones at a tenth of it."""
_BYTES_PER_SECOND: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class TablePlan:
    """How one table would be read."""

    table: str
    by: str = ""  # `pages` or `key (id)`
    rows: int | None = None  # estimated; None if the table was never analysed
    bytes: int = 0
    seconds: float | None = None
    fault: str | None = None  # why it cannot be read, and what mends that

    def as_json(self) -> dict[str, Any]:
        """Return the plan for a program."""
        return asdict(self)


def read_tables(config: Config, action: str, names: Sequence[str]) -> list[PublishedTable]:
    """Return the captured tables that a request means; without `names`, all of them.

    Raises:
        SnapshotRefused: one is not captured, or none is named where one must be.
        SidecarError: Postgres is not available.

    """
    capture = Capture.of(config)
    tables = {table.relation.qualified_name: table for table in read_captured(config)}
    published = {name: table for name, table in tables.items() if capture.snapshot_table(name)}
    check_request(action, names, published)
    return [published[name] for name in names or published]


def plan_tables(config: Config, tables: Sequence[PublishedTable]) -> list[TablePlan]:
    """Return the plans of captured tables.

    Raises:
        SidecarError: Postgres is not available.

    """
    capture, reader = Capture.of(config), ChunkReader(config.postgres)
    try:
        return [_plan(reader, table, capture) for table in tables]
    finally:
        reader.close()


def _plan(reader: ChunkReader, published: PublishedTable, capture: Capture) -> TablePlan:
    name, oid = published.relation.qualified_name, published.relation.oid
    table, key = capture.snapshot_table(name), published.facts.key_columns
    if table and not is_readable(table, published):
        return TablePlan(name, fault='it has no key: set snapshot = "duplicates" in its block')
    located = reader.locate(oid)
    if located is None:
        return TablePlan(name, fault="it no longer exists")
    source, is_root = located
    try:
        with reader.transaction(source if is_root else f"ONLY {source}"):
            size = reader.size(oid, source)
    except SidecarError as error:
        return TablePlan(name, fault=f"{error.fact}: {error.hint}" if error.hint else error.fact)
    if size is None:
        return TablePlan(name, fault="it no longer exists")
    rows = size.rows if size.rows >= 0 else None
    seconds = None if rows is None else rows / _ROWS_PER_SECOND + size.bytes / _BYTES_PER_SECOND
    by = "pages" if reads_pages(size, published) else f"key ({', '.join(key)})"
    return TablePlan(name, by, rows, size.bytes, seconds)
