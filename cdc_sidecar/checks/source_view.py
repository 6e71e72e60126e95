"""What a start reads of the source, and every condition on it, in the order of the checks.

`run` stops at the first condition that does not hold; `check` tries each of them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from cdc_sidecar.checks import harm, partitions, preflight, snapshots
from cdc_sidecar.checks.condition import Condition
from cdc_sidecar.config.model import Config
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.postgres.catalog import (
    Publication,
    PublishedTable,
    read_publication,
    read_published_tables,
    read_unpublished_tables,
)
from cdc_sidecar.postgres.connect import Connection
from cdc_sidecar.postgres.partitions import Leaf, read_leaves
from cdc_sidecar.postgres.replica_identity import Member, read_members
from cdc_sidecar.postgres.server import SourceServer, check_version
from cdc_sidecar.postgres.standing import Absentee, read_absentees, read_matching_names


@dataclass(frozen=True, slots=True)
class Unpublished:
    """Configured tables that are not published, as they would be if the publication sent them."""

    tables: tuple[PublishedTable, ...]
    leaves: tuple[Leaf, ...]
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class SourceView:
    """The server, the publication, and the tables that it sends and that it does not send."""

    server: SourceServer
    publication: Publication | None
    tables: tuple[PublishedTable, ...]
    leaves: tuple[Leaf, ...]
    members: tuple[Member, ...]
    absentees: tuple[Absentee, ...]  # configured by name, and not sent
    unpublished: Unpublished
    config: Config
    capture: Capture

    @property
    def existing(self) -> Publication:
        """The publication.

        Raises:
            PublicationMissing: it does not exist.

        """
        name = self.config.postgres.publication
        return preflight.existing(self.publication, name, self.unpublished.members)

    @property
    def configured(self) -> list[PublishedTable]:
        """The tables that are configured, whether they are published already or not."""
        return [*self.captured, *self.unpublished.tables]

    @property
    def would_be(self) -> list[Member]:
        """The absentees, as they would be if the publication sent them."""
        names = {absentee.name for absentee in self.absentees}
        tables = (table.relation for table in self.unpublished.tables)
        oids = {relation.oid for relation in tables if relation.qualified_name in names}
        return [member for member in self.unpublished.members if member.oid in oids]

    @property
    def captured(self) -> list[PublishedTable]:
        """The published tables that are configured."""
        return preflight.captured(self.tables, self.capture)

    @property
    def changed_members(self) -> list[Member]:
        """The members whose rows are captured, and that the service is known to change."""
        names = self._names
        return [member for member in self.members if self._is_changed(member, names)]

    @property
    def other_members(self) -> list[Member]:
        """The members that are not captured, or to which the service may only add rows."""
        names = self._names
        return [member for member in self.members if not self._is_changed(member, names)]

    @property
    def _names(self) -> dict[int, str]:
        """The captured tables by oid."""
        return {table.relation.oid: table.relation.qualified_name for table in self.captured}

    def _is_changed(self, member: Member, names: dict[int, str]) -> bool:
        """Return whether old rows are needed; logs and outboxes without identity only grow."""
        name = names.get(member.oid)
        if name is None:
            return False
        table = self.capture.table(name)
        grows = self.capture.outbox(name) is not None or (table is not None and table.unkeyed)
        return not (grows and member.has_no_identity)


def read_view(
    connection: Connection, server: SourceServer, config: Config, capture: Capture
) -> SourceView:
    """Read the publication and its tables."""
    name = config.postgres.publication
    tables = read_published_tables(connection, name)
    published = {table.relation.qualified_name for table in tables}
    absent = [wanted for wanted in preflight.wanted_names(config) if wanted not in published]
    absentees = read_absentees(connection, name, absent)
    never = {absentee.name for absentee in absentees if not absentee.can_be_sent}
    coming = [wanted for wanted in absent if wanted not in never]
    return SourceView(
        server,
        read_publication(connection, name),
        tables,
        read_leaves(connection, name),
        read_members(connection, name),
        absentees,
        _read_unpublished(connection, config, capture, published, coming),
        config,
        capture,
    )


def _read_unpublished(
    connection: Connection,
    config: Config,
    capture: Capture,
    published: Collection[str],
    names: Sequence[str],
) -> Unpublished:
    """Read tables of these names, and of globs that match no published table."""
    name = config.postgres.publication
    globs = preflight.idle_globs(config, published)

    def is_new(found: str) -> bool:
        known = found in published or found in names or capture.ignores(found)
        return not known and capture.table(found) in globs

    matched = read_matching_names(connection, is_new) if globs else ()
    wanted = [*names, *matched]
    if not wanted:
        return Unpublished((), (), ())
    return Unpublished(
        read_unpublished_tables(connection, name, wanted),
        read_leaves(connection, name, wanted),
        read_members(connection, name, wanted),
    )


OF_SERVER: Final[tuple[Condition[SourceServer], ...]] = (
    Condition("version", check_version, lambda server: f"PostgreSQL {server.release}"),
    Condition("wal_level", preflight.check_wal_level, lambda server: server.wal_level),
    Condition(
        "synchronous standbys", harm.check_not_synchronous, lambda _: "no commit waits for us"
    ),
)
"""The conditions on the server."""

CONFIGURED: Final[Condition[SourceView]] = Condition(
    "configured tables",
    lambda view: preflight.check_absentees(view.absentees, view.would_be, view.config),
    lambda view: (
        f"{len(view.captured)} of {len(view.tables)} published tables are captured"
        if view.publication
        else f"{len(view.configured)} can be published"
    ),
)
OF_SOURCE: Final[tuple[Condition[SourceView], ...]] = (
    Condition(
        "publication",
        lambda view: preflight.check_operations(view.existing, view.config, view.members),
        lambda view: f"{view.existing.name} sends every operation",
    ),
    CONFIGURED,
    Condition(
        "keys and types",
        lambda view: preflight.check_tables(view.tables, view.capture, view.members),
        lambda _: "fit the configuration",
    ),
    Condition(
        "rows older than the slot",
        lambda view: snapshots.check_identities(view.configured, view.config, view.capture),
        lambda view: (
            "are not sent" if view.config.snapshot.mode == "never" else "can be told apart"
        ),
    ),
    Condition(
        "partitions",
        lambda view: partitions.check_leaves(view.leaves, view.tables, view.capture),
        lambda _: "log the old rows",
    ),
    Condition(
        "captured tables",
        lambda view: harm.check_members(view.changed_members),
        lambda _: "the service can change them",
    ),
)
"""The conditions on the publication and its tables."""

OF_UNPUBLISHED: Final[tuple[Condition[SourceView], ...]] = (
    Condition(
        "keys and types of unpublished tables",
        lambda view: preflight.check_tables(
            view.unpublished.tables, view.capture, view.unpublished.members
        ),
        lambda _: "fit the configuration",
    ),
    Condition(
        "partitions of unpublished tables",
        lambda view: partitions.check_leaves(
            view.unpublished.leaves, view.unpublished.tables, view.capture
        ),
        lambda _: "log the old rows",
    ),
)
"""What `check` says of tables that must be published first, so that a person mends all at once."""

QUESTIONABLE: Final[tuple[Condition[SourceView], ...]] = (
    Condition(
        "globs",
        lambda view: preflight.check_globs(view.tables, view.config),
        lambda _: "each matches a published table",
    ),
    Condition(
        "other tables",
        lambda view: harm.check_members(view.other_members),
        lambda _: "the service can change them",
    ),
)
"""Conditions that are faults for a person who sets the sidecar up, and no reason to stop it."""
