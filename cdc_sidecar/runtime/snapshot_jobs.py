"""Which tables have a snapshot in a session: those that have none yet, and those unfinished."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cdc_sidecar.config.model import Snapshot, Table
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.registry.snapshots import Snapshots
from cdc_sidecar.events.snapshot.progress import SnapshotPhase
from cdc_sidecar.postgres.catalog import PublishedTable


@dataclass(frozen=True, slots=True)
class SnapshotJobs:
    """The open snapshots, and the configuration of their tables in the order of the file."""

    states: tuple[TableSnapshot, ...]
    tables: Mapping[int, Table]


def plan_snapshots(
    captured: Iterable[PublishedTable], capture: Capture, settings: Snapshot, known: Snapshots
) -> SnapshotJobs:
    """Return what a session has to read; note every snapshot that is new."""
    if settings.mode == "never":
        return SnapshotJobs((), {})
    initial = not known
    states: dict[int, TableSnapshot] = {}
    tables: dict[int, Table] = {}
    for published, table in _in_order(captured, capture):
        oid, name = published.relation.oid, published.relation.qualified_name
        state = known.get(oid)
        if state is None or state.generation < table.generation:
            waiting = SnapshotPhase.WAITING.value
            state = TableSnapshot(oid, name, table.generation, initial, waiting)
            known.note(state)
        elif state.phase == SnapshotPhase.FAILED:  # somebody has mended it, perhaps
            state = replace(state, phase=SnapshotPhase.WAITING.value, error="")
        if SnapshotPhase(state.phase).is_open:
            states[oid], tables[oid] = state, table
    return SnapshotJobs(tuple(states.values()), tables)


def _in_order(
    captured: Iterable[PublishedTable], capture: Capture
) -> list[tuple[PublishedTable, Table]]:
    """Return the tables with a snapshot, in the order of their blocks, then by name."""
    found = []
    for published in captured:
        name = published.relation.qualified_name
        table = None if capture.outbox(name) else capture.table(name)
        if table and table.snapshot:
            found.append((capture.tables.index(table), name, published, table))
    return [(published, table) for _, _, published, table in sorted(found, key=lambda f: f[:2])]
