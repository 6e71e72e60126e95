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
    """The open snapshots, and the tables that may have one, by oid, in the order of the file."""

    states: tuple[TableSnapshot, ...]
    incomplete: tuple[TableSnapshot, ...]  # of which somebody should know
    tables: Mapping[int, Table]
    names: Mapping[int, str]


def plan_snapshots(
    captured: Iterable[PublishedTable], capture: Capture, settings: Snapshot, known: Snapshots
) -> SnapshotJobs:
    """Return what a session has to read; note every snapshot that is new."""
    initial = not known
    states: list[TableSnapshot] = []
    incomplete: list[TableSnapshot] = []
    tables: dict[int, Table] = {}
    names: dict[int, str] = {}
    for published, table in _in_order(captured, capture):
        oid, name = published.relation.oid, published.relation.qualified_name
        tables[oid], names[oid] = table, name
        state = known.get(oid)
        automatic = settings.mode != "never" and bool(table.snapshot)
        if automatic and (state is None or state.generation < table.generation):
            waiting = SnapshotPhase.WAITING
            state = TableSnapshot(oid, name, table.generation, initial, waiting)
            known.note(state)
        elif state and state.phase is SnapshotPhase.FAILED:  # somebody has mended it, perhaps
            state = replace(state, phase=SnapshotPhase.WAITING, error="")
        if state and state.phase.is_open and (automatic or state.requested):
            states.append(state)
        elif state and state.phase is SnapshotPhase.INCOMPLETE:
            incomplete.append(state)
    return SnapshotJobs(tuple(states), tuple(incomplete), tables, names)


def _in_order(
    captured: Iterable[PublishedTable], capture: Capture
) -> list[tuple[PublishedTable, Table]]:
    """Return the captured tables in the order of their blocks, then by name."""
    found = []
    for published in captured:
        name = published.relation.qualified_name
        table = capture.snapshot_table(name)
        if table:
            found.append((capture.tables.index(table), name, published, table))
    return [(published, table) for _, _, published, table in sorted(found, key=lambda f: f[:2])]
