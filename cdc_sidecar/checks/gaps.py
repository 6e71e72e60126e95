"""Checks that the server has sent every change of a captured table since it was last examined."""

from collections.abc import Iterable, Mapping

from cdc_sidecar.errors import ChangesLeftOut
from cdc_sidecar.events.registry.records import KnownTable, layout_digest
from cdc_sidecar.events.registry.tables import KnownTables
from cdc_sidecar.postgres.catalog import PublishedTable
from cdc_sidecar.postgres.types import Membership


def known(table: PublishedTable) -> KnownTable:
    """Return what is remembered of a captured table."""
    relation = table.relation
    layout, key = layout_digest(relation), table.facts.key_columns
    return KnownTable(relation.oid, relation.qualified_name, layout, key, table.membership)


def find_gaps(tables: Iterable[PublishedTable], remembered: KnownTables) -> dict[str, str]:
    """Return the captured tables of which changes may be missing, each with the reason."""
    gaps = {}
    for table in tables:
        now, then = known(table), remembered.get(table.relation.oid)
        if then:
            same_layout = then.layout == now.layout
            reason = then.membership.interruption(now.membership, same_layout=same_layout)
            if reason:
                gaps[now.name] = reason
    return gaps


def check_gaps(tables: Iterable[PublishedTable], remembered: KnownTables) -> None:
    """Check that no table has such a gap.

    Raises:
        ChangesLeftOut: changes may be missing.

    """
    _refuse(find_gaps(tables, remembered))


def check_memberships(
    tables: Iterable[PublishedTable], memberships: Mapping[int, Membership]
) -> None:
    """Check the tables of a running session against their present memberships.

    A rewrite is not judged, because the layout of the table may have changed with it.

    Raises:
        ChangesLeftOut: changes may be missing.

    """
    gaps = {}
    for table in tables:
        now = memberships.get(table.relation.oid)
        reason = now and table.membership.interruption(now, same_layout=False)
        if reason:
            gaps[table.relation.qualified_name] = reason
    _refuse(gaps)


def _refuse(gaps: Mapping[str, str]) -> None:
    if gaps:
        raise ChangesLeftOut(
            "; ".join(f"{name}: {reason}" for name, reason in sorted(gaps.items())),
            cause="the server sends nothing for the time in between, and reports nothing",
            hint="if rows were written in between, send them again another way; then run"
            " `cdc-sidecar position accept-gap --yes` to continue",
        )
