"""Requests about snapshots while no sidecar runs: the next start carries them out."""

from collections.abc import Sequence

from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import SidecarError, SnapshotRefused
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.snapshot.change import changed
from cdc_sidecar.events.snapshot.progress import SnapshotPhase
from cdc_sidecar.kafka.schemas import read_log
from cdc_sidecar.operations.exclusion import exclusive
from cdc_sidecar.operations.snapshot_plan import read_tables
from cdc_sidecar.operations.table_gaps import write_log
from cdc_sidecar.postgres.chunks import ChunkReader


def order(
    config: Config, action: str, names: Sequence[str], where: str = "", rate: int = 0
) -> list[str]:
    """Change the progress of snapshots in Kafka; return the tables that were changed.

    Without `names`, all open snapshots are meant.

    Raises:
        SidecarRunning: a sidecar holds the lock; it must be asked itself.
        SnapshotRefused: a table is not captured, or the condition `where` is wrong.
        SidecarError: Postgres or Kafka is not available.

    """
    with exclusive(config):
        log, wanted = read_log(config), _wanted(config, action, names)
        if where:
            _try_condition(config, where, wanted)
        states = [log.snapshots.get(none.oid) or none for none in wanted]
        pairs = [(state, changed(state, action, where, rate)) for state in states]
        done = [after for state, after in pairs if after != state]
        for after in done:
            log.snapshots.note(after)
        if done:
            write_log(config, log)
        return [after.name for after in done]


def _wanted(config: Config, action: str, names: Sequence[str]) -> list[TableSnapshot]:
    """Return the tables that are meant, each as one that has had no snapshot."""
    capture, wanted = Capture.of(config), []
    for published in read_tables(config, action, names):
        name, oid = published.relation.qualified_name, published.relation.oid
        table = capture.snapshot_table(name)
        generation = table.generation if table else 0
        none = SnapshotPhase.NONE
        wanted.append(TableSnapshot(oid, name, generation, initial=False, phase=none))
    return wanted


def _try_condition(config: Config, where: str, tables: Sequence[TableSnapshot]) -> None:
    reader = ChunkReader(config.postgres)
    try:
        for table in tables:
            reader.try_condition(table.oid, where)
    except SidecarError as error:
        raise SnapshotRefused(error.fact, hint="correct the condition of --where") from error
    finally:
        reader.close()
