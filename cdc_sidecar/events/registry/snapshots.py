"""The snapshots of tables, as far as they are published, by oid."""

from cdc_sidecar.events.registry.pending import PendingRecords
from cdc_sidecar.events.registry.records import TableSnapshot, encode_snapshot


class Snapshots:
    """What the schemas topic says of the snapshot of each table."""

    def __init__(self, pending: PendingRecords) -> None:
        self._pending = pending
        self._tables: dict[int, TableSnapshot] = {}

    def load(self, snapshot: TableSnapshot) -> None:
        """Add the snapshot of a table, which replaces an earlier one."""
        self._tables[snapshot.oid] = snapshot

    def get(self, oid: int) -> TableSnapshot | None:
        """Return the snapshot of a table; None if there was none."""
        return self._tables.get(oid)

    def note(self, snapshot: TableSnapshot) -> None:
        """Note a snapshot that shall begin; its record waits to be drained."""
        self.load(snapshot)
        self._pending.add(encode_snapshot(snapshot))

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._tables)
