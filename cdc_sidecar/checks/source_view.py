"""What a start reads of the source, and every condition on it, in the order of the checks.

`run` stops at the first condition that does not hold; `check` tries each of them.
"""

from dataclasses import dataclass
from typing import Final

from cdc_sidecar.checks import harm, partitions, preflight
from cdc_sidecar.checks.condition import Condition
from cdc_sidecar.config.model import Config
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.postgres.catalog import Publication, PublishedTable, read_published_tables
from cdc_sidecar.postgres.connect import Connection
from cdc_sidecar.postgres.partitions import Leaf, read_leaves
from cdc_sidecar.postgres.replica_identity import Member, read_members
from cdc_sidecar.postgres.server import SourceServer, check_version
from cdc_sidecar.postgres.standing import Absentee, read_absentees


@dataclass(frozen=True, slots=True)
class SourceView:
    """The server, the publication, and the tables that it sends and that it does not send."""

    server: SourceServer
    publication: Publication
    tables: tuple[PublishedTable, ...]
    leaves: tuple[Leaf, ...]
    members: tuple[Member, ...]
    absentees: tuple[Absentee, ...]  # configured by name, and not sent
    would_be: tuple[Member, ...]  # the absentees, as they would be if the publication sent them
    config: Config
    capture: Capture

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
    """Read the publication and its tables.

    Raises:
        PublicationMissing: the publication does not exist.

    """
    name = config.postgres.publication
    publication = preflight.find_publication(connection, name)
    tables = read_published_tables(connection, name)
    published = {table.relation.qualified_name for table in tables}
    absent = [wanted for wanted in preflight.wanted_names(config) if wanted not in published]
    absentees = read_absentees(connection, name, absent)
    return SourceView(
        server,
        publication,
        tables,
        read_leaves(connection, name),
        read_members(connection, name),
        absentees,
        read_members(connection, name, absent) if absentees else (),
        config,
        capture,
    )


OF_SERVER: Final[tuple[Condition[SourceServer], ...]] = (
    Condition("version", check_version, lambda server: str(server.version)),
    Condition("wal_level", preflight.check_wal_level, lambda server: server.wal_level),
    Condition(
        "synchronous standbys", harm.check_not_synchronous, lambda _: "no commit waits for us"
    ),
)
"""The conditions on the server."""

OF_SOURCE: Final[tuple[Condition[SourceView], ...]] = (
    Condition(
        "publication",
        lambda view: preflight.check_operations(view.publication, view.config, view.members),
        lambda view: f"{view.publication.name} sends every operation",
    ),
    Condition(
        "configured tables",
        lambda view: preflight.check_absentees(view.absentees, view.would_be, view.config),
        lambda view: f"{len(view.captured)} of {len(view.tables)} published tables are captured",
    ),
    Condition(
        "keys and types",
        lambda view: preflight.check_tables(view.tables, view.capture, view.members),
        lambda _: "fit the configuration",
    ),
    Condition(
        "partitions",
        lambda view: partitions.check_leaves(view.leaves, view.tables, view.capture),
        lambda _: "log the old rows",
    ),
    Condition(
        "captured tables of the service",
        lambda view: harm.check_members(view.changed_members),
        lambda _: "can be changed",
    ),
)
"""The conditions on the publication and its tables."""

QUESTIONABLE: Final[tuple[Condition[SourceView], ...]] = (
    Condition(
        "globs",
        lambda view: preflight.check_globs(view.tables, view.config),
        lambda _: "each matches a published table",
    ),
    Condition(
        "other tables of the service",
        lambda view: harm.check_members(view.other_members),
        lambda _: "can be changed",
    ),
)
"""Conditions that are faults for a person who sets the sidecar up, and no reason to stop it."""
