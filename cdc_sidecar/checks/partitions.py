"""Checks that the partitions of a captured table log what its events need.

With `publish_via_partition_root` the rows of a partition are sent as rows of the root. What the old
row of an update or delete contains is decided by the replica identity of the partition alone.
"""

from collections.abc import Iterable

from cdc_sidecar.errors import TablesRefused
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.postgres.catalog import PublishedTable
from cdc_sidecar.postgres.partitions import Leaf
from cdc_sidecar.postgres.pgoutput import ReplicaIdentity
from cdc_sidecar.postgres.sql_names import quoted_table


def check_leaves(
    leaves: Iterable[Leaf], tables: Iterable[PublishedTable], capture: Capture
) -> None:
    """Check the partitions of every captured table.

    Raises:
        TablesRefused: the old rows of a partition lack columns, or its changes are not sent.

    """
    roots = {table.relation.oid: table for table in tables}
    mistakes = [
        mistake
        for leaf in leaves
        if leaf.root_oid in roots
        for mistake in _mistakes(leaf, roots[leaf.root_oid], capture)
    ]
    if mistakes:
        raise TablesRefused("\n" + "\n".join(f"  - {mistake}" for mistake in mistakes))


def _mistakes(leaf: Leaf, root: PublishedTable, capture: Capture) -> list[str]:
    name = root.relation.qualified_name
    config = capture.table(name)
    if config is None or capture.outbox(name):
        return []
    if not leaf.logged:
        mistake = (
            f"partition {leaf.name} of {name} is unlogged, so its changes are not sent:"
            f" ALTER TABLE {quoted_table(leaf.name)} SET LOGGED"
        )
        return [mistake]
    missing = set(config.key or root.facts.key_columns) - leaf.identity_columns
    if missing:
        mistake = (
            f"partition {leaf.name} of {name} does not log the key column"
            f" {', '.join(sorted(missing))} of old rows: {_cure(leaf, root)}"
        )
        return [mistake]
    full = root.relation.replica_identity is ReplicaIdentity.FULL
    if full and leaf.identity is not ReplicaIdentity.FULL and config.incomplete_before == "halt":
        mistake = (
            f"partition {leaf.name} of {name} does not log whole old rows, although {name} has"
            f" REPLICA IDENTITY FULL: {_cure(leaf, root)}; or accept events without before with"
            ' incomplete_before = "publish"'
        )
        return [mistake]
    return []


def _cure(leaf: Leaf, root: PublishedTable) -> str:
    default = root.relation.replica_identity is ReplicaIdentity.DEFAULT
    identity = "DEFAULT" if default else "FULL"
    return f"ALTER TABLE {quoted_table(leaf.name)} REPLICA IDENTITY {identity}"
