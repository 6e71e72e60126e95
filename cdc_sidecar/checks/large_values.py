"""Advice on keyed tables of which an update with a changed key may lack values."""

from collections.abc import Iterable, Mapping

from cdc_sidecar.events.capture import Capture
from cdc_sidecar.postgres.catalog import PublishedTable
from cdc_sidecar.postgres.pgoutput import ReplicaIdentity


def advise_on_large_values(
    tables: Iterable[PublishedTable], large: Mapping[int, tuple[str, ...]], capture: Capture
) -> list[str]:
    """Return a sentence for each captured table whose large values may be missing.

    `large` has the columns that may be stored out of line, by the oid of the table.
    """
    advice = []
    for table in tables:
        name = table.relation.qualified_name
        config = capture.table(name)
        if config is None or capture.outbox(name) or config.unkeyed:
            continue
        sent = [column for column in large.get(table.relation.oid, ()) if config.sends(column)]
        full = table.relation.replica_identity is ReplicaIdentity.FULL
        if sent and table.facts.key_columns and not full:
            advice.append(
                f"{name}: an update that changes the key but not a large value of"
                f" {', '.join(sent)} does not send the value; to send it, ALTER TABLE {name}"
                " REPLICA IDENTITY FULL"
            )
    return advice
