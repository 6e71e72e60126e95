"""The captured tables as they were last seen: their names and memberships, by oid.

Rows of a table that has another name by now are recognized by its oid. A membership that has
changed since shows that the server may have left changes out.
"""

from collections.abc import Iterable
from dataclasses import replace

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

    @property
    def since(self) -> dict[str, int]:
        """The transaction id from which on each table was captured, by name; 0 is unknown."""
        return {table.name: table.since for table in self._tables.values()}

    def note_all(self, tables: Iterable[KnownTable], next_xid: int = 0) -> None:
        """Note how tables are now; the records of changes wait to be drained.

        A table that was not captured before is captured from the transaction `next_xid` on.
        """
        for table in tables:
            known = self._tables.get(table.oid)
            now = replace(table, since=known.since if known else next_xid)
            if known != now:
                self.load(now)
                self._pending.add(encode_table(now))
