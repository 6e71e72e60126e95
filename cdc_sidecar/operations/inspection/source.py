"""The inspection of Postgres: server, publication, tables, privileges and slot."""

from dataclasses import dataclass, field

from cdc_sidecar.checks import preflight
from cdc_sidecar.checks.advice import Advice, advise_on_server, advise_on_slot
from cdc_sidecar.checks.large_values import advise_on_large_values
from cdc_sidecar.checks.source_view import (
    CONFIGURED,
    OF_SERVER,
    OF_SOURCE,
    OF_UNPUBLISHED,
    QUESTIONABLE,
    SourceView,
    read_view,
)
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import PermissionMissing, SidecarError, SlotMissing
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.operations.inspection.report import Group, Report
from cdc_sidecar.postgres.catalog import Publication
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.large_columns import read_large_columns
from cdc_sidecar.postgres.lock import holds_lock
from cdc_sidecar.postgres.lsn import Lsn, format_lsn
from cdc_sidecar.postgres.outbox_rows import OutboxRows
from cdc_sidecar.postgres.server import SourceServer, read_server
from cdc_sidecar.postgres.slot import SlotStatus, read_slot
from cdc_sidecar.postgres.sql_names import quoted, quoted_table
from cdc_sidecar.postgres.surroundings import Surroundings, read_surroundings
from cdc_sidecar.postgres.walsender import SystemIdentity, WalsenderConnection
from cdc_sidecar.wording import number, size


@dataclass(slots=True)
class SeenSource:
    """What was seen of the source; a field is None if it could not be seen."""

    server: SourceServer | None = None
    system: SystemIdentity | None = None
    history: dict[int, Lsn] = field(default_factory=dict)
    view: SourceView | None = None
    slot: SlotStatus | None = None
    slot_is_known: bool = False  # and usable if there is one


class SourceInspection:
    """Inspects the source once."""

    def __init__(
        self, config: Config, capture: Capture, database: Database, report: Report
    ) -> None:
        self._config = config
        self._capture = capture
        self._database = database
        self._report = report
        self._seen = SeenSource()
        self._surroundings: Surroundings | None = None

    def inspect(self) -> SeenSource:
        """Make every check of the source."""
        self._report.begin(Group.POSTGRES)
        server = self._report.attempt("connection", self._read_server, _say_server)
        if server is None:
            return self._seen
        self._seen.server = server
        around = self._surroundings
        assert around is not None  # noqa: S101 - read with the server
        self._inspect_server(server, around)
        self._inspect_publication()
        slot = self._report.attempt("slot", self._check_slot, _say_slot)
        self._seen.slot, self._seen.slot_is_known = slot, not self._report.failed
        if self._seen.slot_is_known:
            self._report.warn(advise_on_slot(server, around, slot, self._config.postgres.slot))
        return self._seen

    def _inspect_server(self, server: SourceServer, around: Surroundings) -> None:
        self._report.judge(OF_SERVER, server)
        self._report.warn(advise_on_server(server, around))
        self._seen.system = self._report.attempt("replication", self._identify, _say_system)

    def _inspect_publication(self) -> None:
        """Inspect the tables too, if need be as they would be once they are published."""
        exists = self._report.attempt(
            "publication exists", self._read_publication, lambda publication: publication.name
        )
        view = self._seen.view
        if view is None:
            return
        if exists:
            self._report.judge(OF_SOURCE, view)
            self._report.judge(QUESTIONABLE, view)
            self._warn_of_large_values(view)
        else:
            self._report.judge((CONFIGURED,), view)
        if view.unpublished.tables:
            self._report.judge(OF_UNPUBLISHED, view)
        if any(outbox.prune for outbox in self._config.outboxes):
            self._report.attempt("pruning", self._try_pruning, ", ".join)
        self._report.attempt("grants", self._check_grants, lambda _: "SELECT on every table")

    def _warn_of_large_values(self, view: SourceView) -> None:
        advice = self._report.attempt("large values", lambda: self._large_values(view), _say_large)
        self._report.warn(advice or [])

    def _large_values(self, view: SourceView) -> list[Advice]:
        with self._database.connection() as connection:
            large = read_large_columns(connection, self._config.postgres.publication)
        members = view.changed_members
        return list(advise_on_large_values(view.captured, members, large, self._capture))

    def _read_server(self) -> SourceServer:
        with self._database.connection() as connection:
            self._surroundings = read_surroundings(connection, self._config.postgres.slot)
            return read_server(connection)

    def _identify(self) -> SystemIdentity:
        """Open a replication connection as `run` does, and identify the server by it."""
        server = self._seen.server
        try:
            connection = WalsenderConnection(self._config.postgres)
        except SidecarError:
            if server and not server.may_replicate:
                preflight.check_role(server)
            raise
        try:
            if server:
                preflight.check_primary(connection, server)
            system = connection.identify_system()
            self._seen.history = connection.timeline_history(system.timeline)
            return system
        finally:
            connection.close()

    def _read_publication(self) -> Publication:
        server = self._seen.server
        assert server is not None  # noqa: S101 - `inspect` has read it
        with self._database.connection() as connection:
            self._seen.view = read_view(connection, server, self._config, self._capture)
        return self._seen.view.existing

    def _check_grants(self) -> None:
        view = self._seen.view
        assert view is not None  # noqa: S101 - as above
        hidden = [table for table in view.configured if not table.may_select]
        if not hidden:
            return
        role = quoted(view.server.user)
        grants = dict.fromkeys(
            f"GRANT USAGE ON SCHEMA {quoted(table.relation.namespace)} TO {role}"
            for table in hidden
        )
        names = [
            f"{quoted(table.relation.namespace)}.{quoted(table.relation.name)}" for table in hidden
        ]
        raise PermissionMissing(
            f"no SELECT on {', '.join(names)}",
            hint="; ".join([*grants, f"GRANT SELECT ON {', '.join(names)} TO {role}"]),
        )

    def _try_pruning(self) -> list[str]:
        """Let the server check that published rows may be deleted; nothing is deleted."""
        pruned = [(box.table, box) for box in self._config.outboxes if box.prune and box.table]
        for table, outbox in pruned:
            try:
                with self._database.connection() as connection:
                    OutboxRows.of(outbox, outbox.prune or 0).try_delete(connection)
            except PermissionMissing as error:
                server = self._seen.server
                role = quoted(server.user) if server else "the sidecar's role"
                error.hint = f"GRANT SELECT, DELETE ON {quoted_table(table)} TO {role}"
                raise
        return [table for table, _ in pruned]

    def _check_slot(self) -> SlotStatus | None:
        config, server = self._config.postgres, self._seen.server
        assert server is not None  # noqa: S101 - as above
        with self._database.connection() as connection:
            slot = read_slot(connection, config.slot)
            reader = slot.active_pid if slot else None
            is_ours = reader is None or holds_lock(connection, reader)
        if slot:
            slot.check(server.database)
            slot.check_reader(is_ours=is_ours)
        elif config.create_slot:
            preflight.check_free_slot(server)
        else:
            raise SlotMissing(
                f"slot {config.slot} does not exist",
                hint="run what `cdc-sidecar setup-sql --diff` prints, or set create_slot = true"
                " in [postgres]",
            )
        return slot


def _say_server(server: SourceServer) -> str:
    return f"database {server.database} as {server.user}"


def _say_system(system: SystemIdentity) -> str:
    return f"at {format_lsn(system.flushed_lsn)}"


def _say_large(advice: list[Advice]) -> str:
    return f"{number(len(advice), 'table')} may send a key without them" if advice else "are sent"


def _say_slot(slot: SlotStatus | None) -> str:
    if slot is None:
        return "none yet: it is created at the first start"
    use = f"read by process {slot.active_pid}" if slot.active_pid else "not in use"
    return (
        f"{slot.name}, {slot.wal_status}, {size(slot.retained_bytes or 0)} of WAL retained, {use}"
    )
