"""Advice for keyed tables whose updates may lack a large value when the key changes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from cdc_sidecar.checks.advice import Advice
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.postgres.catalog import PublishedTable
from cdc_sidecar.postgres.pgoutput import ReplicaIdentity
from cdc_sidecar.postgres.replica_identity import Identity, Member

_FULL = Identity(ReplicaIdentity.FULL)


def advise_on_large_values(
    tables: Iterable[PublishedTable],
    members: Iterable[Member],
    large: Mapping[int, tuple[str, ...]],
    capture: Capture,
) -> Iterator[Advice]:
    """Yield a warning for each captured table whose large values may be missing.

    `members` are the tables with their rows, and `large` has the columns that may be stored out of
    line, by the oid of the table.
    """
    lacking = [member for member in members if _lacks(member)]
    for table in tables:
        columns = _large_columns(table, large, capture)
        parts = [member for member in lacking if member.oid == table.relation.oid]
        if columns and parts:
            yield Advice(
                "large_values",
                "large values",
                f"{table.relation.qualified_name}: an update that changes the key but not a large"
                f" value of {', '.join(columns)} does not send the value",
                "Postgres does not log a large value that did not change, except with REPLICA"
                " IDENTITY FULL",
                _remedy(parts),
            )


def _lacks(member: Member) -> bool:
    """Return whether updates of a table are sent without the whole old row."""
    return "UPDATE" in member.changes and member.identity.kind is not ReplicaIdentity.FULL


def _large_columns(
    table: PublishedTable, large: Mapping[int, tuple[str, ...]], capture: Capture
) -> list[str]:
    """Return the large columns that are sent beside a key; a key is always sent whole."""
    name = table.relation.qualified_name
    config = capture.table(name)
    if config is None or capture.outbox(name):
        return []
    key = config.key or table.facts.key_columns
    columns = large.get(table.relation.oid, ())
    return [column for column in columns if key and column not in key and config.sends(column)]


def _remedy(parts: list[Member]) -> str:
    """Return the SQL after which the value is sent, or why there is none."""
    refusals = (replace(member, identity=_FULL).refusal for member in parts)
    if refusal := next(filter(None, refusals), None):
        return (
            f"it cannot be sent, because {refusal}: readers must keep the values of a deleted row"
            " until its transaction is over"
        )
    names = dict.fromkeys([parts[0].listed, *(member.name for member in parts)])
    return "to send it, " + "; ".join(f"ALTER TABLE {name} REPLICA IDENTITY FULL" for name in names)
