"""The captured tables as they were last seen: their names and memberships, by oid.

Rows of a table that has another name by now are recognized by its oid. A membership that has
changed since shows that the server may have left changes out.
"""

from cdc_sidecar.events.registry.pending import PendingRecords
from cdc_sidecar.events.registry.records import KnownTable, encode_table


class KnownTables:
    """Every table that was captured, as it was when a session last examined it."""

    def __init__(self, pending: PendingRecords) -> None:
        self._pending = pending
        self._tables: dict[int, KnownTable] = {}

    def load(self, table: KnownTable) -> None:
        """Add a table from the schemas topic."""
        self._tables[table.oid] = table

    def get(self, oid: int) -> KnownTable | None:
        """Return the table with this oid; None if it was never captured."""
        return self._tables.get(oid)

    def note(self, table: KnownTable) -> None:
        """Note how a table is now; the record of a change waits to be drained."""
        if self._tables.get(table.oid) != table:
            self.load(table)
            self._pending.add(encode_table(table))
