"""The conditions that must hold before anything is published.

`run` uses them to refuse a configuration, and `check` reports on them. Each function checks one
condition and raises an error if it does not hold. No function writes anything.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from cdc_sidecar.config.model import Config, Table
from cdc_sidecar.errors import (
    PermissionMissing,
    PostgresUnavailable,
    PublicationIncomplete,
    PublicationMissing,
    ServerLimitReached,
    TablesRefused,
    WalLevelTooLow,
)
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.own_block import cure_of_table, toml_key
from cdc_sidecar.events.plan import Circumstances
from cdc_sidecar.postgres.catalog import Publication, PublishedTable, read_publication
from cdc_sidecar.postgres.connect import Connection
from cdc_sidecar.postgres.pgoutput import ReplicaIdentity
from cdc_sidecar.postgres.replica_identity import Member
from cdc_sidecar.postgres.server import SourceServer
from cdc_sidecar.postgres.sql_names import quoted, similar
from cdc_sidecar.postgres.standing import Absentee, Standing
from cdc_sidecar.postgres.walsender import WalsenderConnection

_DROPPED = "if a table was dropped, set dropped = true in its block to publish its last rows"


def check_primary(connection: WalsenderConnection, server: SourceServer) -> None:
    """Check that both connections lead to a primary: a lock on a standby excludes no other sidecar.

    Raises:
        PostgresUnavailable: one of them leads to a standby, which may still be promoted.

    """
    if server.in_recovery or connection.is_standby():
        raise PostgresUnavailable(
            "the server is a standby",
            cause="postgres.dsn names a standby, or a failover is under way",
            hint="with several hosts add target_session_attrs=read-write to postgres.dsn",
        )


def check_wal_level(server: SourceServer) -> None:
    """Check that the server writes what logical decoding needs.

    Raises:
        WalLevelTooLow: wal_level is not logical.

    """
    if server.wal_level != "logical":
        raise WalLevelTooLow(
            f"wal_level is {server.wal_level}",
            hint="ALTER SYSTEM SET wal_level = logical; then restart the server",
        )


def check_role(server: SourceServer) -> None:
    """Check that the role may use replication.

    Raises:
        PermissionMissing: the role lacks REPLICATION.

    """
    if not server.may_replicate:
        raise PermissionMissing(
            f"role {server.user} lacks REPLICATION",
            hint=f"ALTER ROLE {quoted(server.user)} REPLICATION; on a managed service, grant its"
            " role for replication instead",
        )


def check_free_slot(server: SourceServer) -> None:
    """Check that the server can create one more slot.

    Raises:
        ServerLimitReached: every slot is in use.

    """
    if server.free_slots <= 0:
        raise ServerLimitReached(
            "no replication slot is free",
            cause="max_replication_slots is reached",
            hint="drop a slot that nobody reads (see pg_replication_slots); or run ALTER SYSTEM SET"
            f" max_replication_slots = {server.max_replication_slots + 1}; then restart the server",
        )


def check_publication(connection: Connection, config: Config) -> Publication:
    """Check that the publication exists and sends every operation on rows.

    Raises:
        PublicationMissing: the publication does not exist.
        PublicationIncomplete: the publication leaves out operations.

    """
    name = config.postgres.publication
    publication = existing(read_publication(connection, name), name)
    check_operations(publication, config)
    return publication


def existing(
    publication: Publication | None, name: str, would_be: Iterable[Member] = ()
) -> Publication:
    """Return the publication.

    `would_be` are the tables that it would have.

    Raises:
        PublicationMissing: it does not exist.

    """
    if publication is None:
        setup = "run what `cdc-sidecar setup-sql --diff` prints, before the slot is created"
        harmed = _harmed(would_be)
        raise PublicationMissing(
            name, cause="; ".join(_harms(harmed)), hint="; ".join([*_cures(harmed), setup])
        )
    return publication


def check_operations(
    publication: Publication, config: Config, members: Iterable[Member] = ()
) -> None:
    """Check that the publication sends every operation on rows.

    Members that the service could not change any more get a replica identity first.

    Raises:
        PublicationIncomplete: it leaves out operations.

    """
    missing = _missing_operations(publication)
    if missing and (config.tables or (config.outboxes and "insert" in missing)):
        name = quoted(publication.name)
        first = _cures(_harmed(members))
        every = f"ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate')"
        raise PublicationIncomplete(
            f"{publication.name} does not publish {', '.join(missing)}",
            hint="; ".join([*first, every]),
        )


def _harmed(members: Iterable[Member]) -> list[Member]:
    """Return the members that the service cannot change once all their changes are sent."""
    whole = (replace(member, changes=("UPDATE", "DELETE")) for member in members)
    return [member for member in whole if member.refusal]


def _harms(harmed: Iterable[Member]) -> list[str]:
    return [f"UPDATE and DELETE on {m.name} would fail: {m.refusal}" for m in harmed]


def _cures(harmed: Iterable[Member]) -> list[str]:
    """Return the SQL after which the service can change them."""
    return list(dict.fromkeys(member.cure for member in harmed))


def _missing_operations(publication: Publication) -> list[str]:
    operations = {
        "insert": publication.inserts,
        "update": publication.updates,
        "delete": publication.deletes,
    }
    return [operation for operation, sent in operations.items() if not sent]


def captured(tables: Iterable[PublishedTable], capture: Capture) -> list[PublishedTable]:
    """Return the published tables that are configured."""
    return [table for table in tables if capture.captures(table.relation.qualified_name)]


def wanted_names(config: Config) -> list[str]:
    """Return the tables that are configured by their names and must be published."""
    tables = (table.name for table in config.tables if not (table.is_glob or table.dropped))
    return [*tables, *config.outbox_tables]


def check_absentees(
    absentees: Sequence[Absentee], would_be: Iterable[Member], config: Config
) -> None:
    """Check that every table that is configured by its name is published.

    `would_be` are the absent tables as the publication would send them: one that the service could
    not change any more gets a replica identity first.

    Raises:
        PublicationIncomplete: configured tables are not in the publication.

    """
    if not absentees:
        return
    harmed = _harmed(would_be)
    missing = any(absentee.standing is Standing.MISSING for absentee in absentees)
    late = f"; {_DROPPED}" if missing else ""
    names = ", ".join(absentee.name for absentee in absentees)
    raise PublicationIncomplete(
        f"{names} not in publication {config.postgres.publication}",
        cause="; ".join([*(absentee.cause for absentee in absentees), *_harms(harmed)]),
        hint="; ".join([*_cures(harmed), *(absentee.remedy for absentee in absentees)]) + late,
    )


def check_globs(tables: Iterable[PublishedTable], config: Config) -> None:
    """Check that every glob matches a published table.

    Raises:
        PublicationIncomplete: one matches none.

    """
    names = [table.relation.qualified_name for table in tables]
    idle = idle_globs(config, names)
    if idle:
        near = [near for glob in idle if (near := similar(glob.name, names))]
        raise PublicationIncomplete(
            f"{', '.join(glob.name for glob in idle)} matches no table of publication"
            f" {config.postgres.publication}",
            cause="the glob is misspelt, or its tables were not added to the publication",
            hint=f"published is {', '.join(near)}: correct the glob"
            if near
            else "correct the glob, add a table that it matches to the publication, or remove it",
        )


def idle_globs(config: Config, names: Collection[str]) -> list[Table]:
    """Return the globs that match none of these tables."""
    globs = (table for table in config.tables if table.is_glob)
    return [glob for glob in globs if not any(map(glob.matches, names))]


def check_tables(
    tables: Sequence[PublishedTable], capture: Capture, members: Iterable[Member] = ()
) -> None:
    """Check every configured table and outbox against what is published.

    Raises:
        TablesRefused: tables cannot be captured as configured; the error lists all mistakes.

    """
    known = {member.oid: member for member in members}
    mistakes = capture.collisions({table.relation.qualified_name for table in tables})
    own_blocks = []
    for table in captured(tables, capture):
        member = known.get(table.relation.oid)
        found = capture.mistakes(table.relation, table.facts, _circumstances(member))
        found += _dimension_mistakes(table, capture)
        config = capture.table(table.relation.qualified_name)
        if found and config and config.is_glob:
            own_blocks.append(cure_of_table(config, table.relation.qualified_name, gone=False))
        mistakes += found
    if mistakes:
        lines = "\n" + "\n".join(f"  - {mistake}" for mistake in mistakes)
        raise TablesRefused(lines, hint="\n".join(own_blocks))


def _circumstances(member: Member | None) -> Circumstances:
    """Return how to give a table a key, and how to publish the columns that are not."""
    if member is None:  # a partitioned table without partitions
        return Circumstances(is_present=True)
    return Circumstances(
        keyless=_key_cure(member),
        unsent={column: member.cure_of_column(column) for column in member.unsent_columns},
        is_present=True,
    )


def _key_cure(member: Member) -> str:
    """Return how to give a table without a key one; it may have a key that is not used."""
    unsent = member.identity.columns - (member.column_list or member.identity.columns)
    if unsent:
        return member.cure_of_columns(unsent)
    full = member.identity.kind is ReplicaIdentity.FULL
    for identity in member.usable:
        of_a_leaf = identity.kind is ReplicaIdentity.INDEX and member.name != member.listed
        if identity.columns and not full and not of_a_leaf:
            return f"ALTER TABLE {member.listed} REPLICA IDENTITY {identity.clause}"
        if identity.columns:
            columns = ", ".join(f'"{column}"' for column in sorted(identity.columns))
            return f"set key = [{columns}] in its block"
    altered = "" if full else f"ALTER TABLE {member.listed} REPLICA IDENTITY FULL; then "
    return (
        f"{altered}set key = [...] in its block to the columns that identify a row, or set"
        " unkeyed = true"
    )


def _dimension_mistakes(table: PublishedTable, capture: Capture) -> list[str]:
    config = capture.table(table.relation.qualified_name)
    if config is None or capture.outbox(table.relation.qualified_name):
        return []
    mistakes = []
    for column, dimensions in zip(table.relation.columns, table.dimensions, strict=True):
        override = config.column.get(column.name)
        as_text = override is not None and (override.as_ == "text" or override.mask is not None)
        if config.sends(column.name) and dimensions > 1 and not as_text:
            mistakes.append(
                f"{table.relation.qualified_name}: column {column.name} is an array of"
                f' {dimensions} dimensions: set [tables.column.{toml_key(column.name)}] as = "text"'
            )
    return mistakes
