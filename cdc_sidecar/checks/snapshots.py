"""Checks that the rows which a table already has can be read and sent."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from cdc_sidecar.config.model import Config, Table
from cdc_sidecar.errors import SnapshotRefused, TablesRefused
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.postgres.catalog import PublishedTable
from cdc_sidecar.postgres.sql_names import similar

HOW_TO_READ_KEYLESS: Final = (
    'set snapshot = "duplicates" in the block of each: a row that is inserted while they are read'
    " may then come twice; or set snapshot = false, which leaves them out"
)


def is_readable(table: Table, published: PublishedTable) -> bool:
    """Return whether the rows can be told from each other, or need not be."""
    return bool(published.facts.key_columns) or table.snapshot == "duplicates"


def check_identities(tables: Iterable[PublishedTable], config: Config, capture: Capture) -> None:
    """Check that the rows of each captured table with a snapshot can be told from each other.

    A table without any key that is not `unkeyed` either is refused as such, and not here.

    Raises:
        TablesRefused: some have no key; the error lists them all.

    """
    if config.snapshot.mode == "never":
        return
    keyless = []
    for published in tables:
        name = published.relation.qualified_name
        table = capture.snapshot_table(name)
        if table and table.snapshot and _lacks_identity(table, published):
            keyless.append(name)
    if keyless:
        lines = "\n" + "\n".join(
            f"  - {name}: rows that it already has cannot be told from each other, because it has"
            " no primary key and no index as its replica identity"
            for name in keyless
        )
        raise TablesRefused(lines, hint=HOW_TO_READ_KEYLESS)


def _lacks_identity(table: Table, published: PublishedTable) -> bool:
    accepted = bool(table.key) or table.unkeyed
    return accepted and not is_readable(table, published)


def check_request(action: str, names: Sequence[str], captured: Collection[str]) -> None:
    """Check the tables of a request; only `start` must name them.

    Raises:
        SnapshotRefused: none is named where one must be, or some are not captured.

    """
    if action == "start" and not names:
        raise SnapshotRefused("no table is named", hint="name a table, as public.orders")
    check_names(names, captured)


def check_names(names: Sequence[str], captured: Collection[str]) -> None:
    """Check that a person has named captured tables.

    Raises:
        SnapshotRefused: some are not captured.

    """
    unknown = [name for name in names if name not in captured]
    if unknown:
        near = [near for name in unknown if (near := similar(name, list(captured)))]
        known = "name a configured table with its schema, such as public.orders"
        hint = f"did you mean {', '.join(near)}?" if near else known
        raise SnapshotRefused(f"{', '.join(unknown)} is not captured", hint=hint)
