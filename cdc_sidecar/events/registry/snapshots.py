"""The snapshots of tables, as far as they are published, by oid."""

from collections.abc import Collection
from dataclasses import replace

from cdc_sidecar.events.registry.pending import PendingRecords
from cdc_sidecar.events.registry.records import TableSnapshot, encode_snapshot
from cdc_sidecar.events.snapshot.progress import SnapshotPhase


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

    def lose_changes(self, names: Collection[str] | None = None) -> list[TableSnapshot]:
        """Note that changes of some tables, or of all, never come; return what that concerns.

        What was complete is so no more. What is under way begins again: rows that it has sent may
        have changed in the gap.
        """
        concerned = [
            after
            for state in self._tables.values()
            if (names is None or state.name in names) and (after := _after_gap(state)) != state
        ]
        for state in concerned:
            self.note(state)
        return concerned

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._tables)


def _after_gap(state: TableSnapshot) -> TableSnapshot:
    if state.phase is SnapshotPhase.DONE:
        why = f"changes were lost: `cdc-sidecar snapshot start {state.name}` sends all rows again"
        return replace(state, phase=SnapshotPhase.INCOMPLETE, error=why)
    if state.phase.is_open:
        waiting = SnapshotPhase.WAITING
        return replace(state, phase=waiting, storage=0, cursor=None, bound=None, owed=(), rows=0)
    return state
