"""What a request of a person changes about the snapshot of a table."""

from dataclasses import replace

from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.snapshot.progress import SnapshotPhase


def changed(state: TableSnapshot, action: str, where: str = "", rate: int = 0) -> TableSnapshot:
    """Return the progress of a table after a request; the same if it changes nothing.

    `action` is `start`, `pause`, `resume`, `cancel` or `rate`.
    """
    if action == "start":
        begun = TableSnapshot(
            state.oid, state.name, state.generation, initial=False, phase=SnapshotPhase.WAITING
        )
        return replace(begun, where=where, requested=True)
    if not state.phase.is_open:
        return state
    match action:
        case "pause":
            return replace(state, paused=True)
        case "resume":
            return replace(state, paused=False)
        case "rate":
            return replace(state, rate=rate)
        case _:
            cancelled = SnapshotPhase.CANCELLED
            return replace(state, phase=cancelled, cursor=None, bound=None, owed=())
