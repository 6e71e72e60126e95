"""The difference between a database and the configuration: the SQL that is missing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cdc_sidecar.checks import preflight
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import PostgresRefused
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.operations.proposal import harm, sql_name
from cdc_sidecar.postgres.candidates import Candidate
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.prepared import Coverage, Prepared, read_prepared
from cdc_sidecar.postgres.sql_names import quoted, similar

_LOCK_TIMEOUT = "5s"
"""For the lock that precedes ADD TABLE: writers of the table queue behind a lock that waits."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What is missing: statements, and remarks about what no statement of ours can mend."""

    database: str
    statements: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a publication that is created sends: tables as `schema.table`, and whole schemas."""

    tables: tuple[str, ...]
    schemas: frozenset[str]

    @property
    def single_tables(self) -> list[str]:
        """The tables that are not in one of the schemas."""
        return [name for name in self.tables if name.split(".", 1)[0] not in self.schemas]


@dataclass(frozen=True, slots=True)
class PublicationSql:
    """The statement that creates the publication, and the block that refuses one that does harm."""

    create: Callable[[Contents], str]
    guard: str


def read_difference(
    config: Config, database: Database, role: str | None, sql: PublicationSql
) -> Difference:
    """Compare a database with the configuration.

    `role` is the role of the sidecar; None is the one that is connected.

    Raises:
        SidecarError: Postgres is not available, or refuses the connection.

    """
    try:
        with database.connection() as connection:
            name = role or connection.info.user
            source = config.postgres
            prepared = read_prepared(connection, name, source.publication, source.slot)
    except PostgresRefused as error:
        raise PostgresRefused(
            error.fact,
            cause="the role does not exist yet, or its password is not the configured one",
            hint="run what `cdc-sidecar setup-sql` prints, or name another role with --dsn",
        ) from error
    return compare(config, prepared, name, sql)


def compare(config: Config, prepared: Prepared, role: str, sql: PublicationSql) -> Difference:
    """Return what is missing in a database that was read."""
    comparison = _Comparison(config, prepared, role)
    statements = [
        *comparison.role_statements(),
        *comparison.grants(),
        *comparison.publication_statements(sql),
        *comparison.slot_statements(),
    ]
    return Difference(prepared.database, tuple(statements), tuple(comparison.remarks()))


class _Comparison:
    def __init__(self, config: Config, prepared: Prepared, role: str) -> None:
        self._config = config
        self._prepared = prepared
        self._role = role
        self._capture = Capture.of(config)
        self._listed = preflight.wanted_names(config)
        self._globs = [table for table in config.tables if table.is_glob]
        self._wanted = {found.relation.qualified_name: found for found in self._find_wanted()}

    def _find_wanted(self) -> Iterator[Candidate]:
        for candidate in self._prepared.candidates:
            name = candidate.relation.qualified_name
            listed = candidate.is_logged or name in self._listed
            if listed and self._capture.captures(name) and not self._capture.ignores(name):
                yield candidate

    # --- role and privileges

    def role_statements(self) -> Iterator[str]:
        """Yield what makes the role one that may log in and replicate."""
        role = self._prepared.role
        if role is None:
            yield f"CREATE ROLE {quoted(self._role)} LOGIN REPLICATION;"
        elif not (role.may_login and role.may_replicate):
            yield f"ALTER ROLE {quoted(self._role)} LOGIN REPLICATION;"

    def grants(self) -> Iterator[str]:
        """Yield the missing privileges."""
        role, prepared = quoted(self._role), self._prepared
        if prepared.role is None or not prepared.role.may_connect:
            yield f"GRANT CONNECT ON DATABASE {quoted(prepared.database)} TO {role};"
        schemas = {found.relation.namespace for found in self._wanted.values()}
        for schema in sorted(schemas - set(prepared.usable_schemas)):
            yield f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {role};"
        for name, found in self._wanted.items():
            if name not in prepared.readable:
                yield f"GRANT SELECT ON {sql_name(found)} TO {role};"
            outbox = self._capture.outbox(name)
            if outbox and outbox.prune and name not in prepared.deletable:
                yield f"GRANT DELETE ON {sql_name(found)} TO {role};"

    # --- publication

    def publication_statements(self, sql: PublicationSql) -> Iterator[str]:
        """Yield what the publication lacks."""
        coverage, name = self._prepared.coverage, quoted(self._config.postgres.publication)
        if coverage is None:
            contents = self._contents()
            if not self._harmed() and (contents.tables or not self._names_tables):
                yield sql.create(contents)
            return
        if self._config.tables:
            yield from _operations(coverage, name)
        partitioned = any(found.is_partitioned for found in self._wanted.values())
        if partitioned and not coverage.via_root:
            yield f"ALTER PUBLICATION {name} SET (publish_via_partition_root = true);"
        added = [found for found in self._unpublished(coverage) if not self._harm(found)]
        if added:
            yield _add_tables(name, [sql_name(found) for found in added], sql.guard)

    @property
    def _names_tables(self) -> bool:
        return bool(self._globs or self._listed)

    def _contents(self) -> Contents:
        """Return the tables that exist, and the schemas of globs over the tables of one schema."""
        globs = (glob for glob in self._globs if any(map(glob.matches, self._wanted)))
        schemas = {glob.name.split(".", 1)[0] for glob in globs}
        exact = {found.relation.namespace for found in self._wanted.values()}
        whole = schemas & exact if self._prepared.can_send_schemas else set()
        return Contents(tuple(self._wanted), frozenset(whole))

    def _unpublished(self, coverage: Coverage) -> Iterator[Candidate]:
        for name, found in self._wanted.items():
            if not _covers(coverage, name):
                yield found

    def _harm(self, candidate: Candidate) -> str | None:
        return harm(candidate) if candidate.is_logged else "it is unlogged"

    def _harmed(self) -> list[Candidate]:
        coverage = self._prepared.coverage
        added = self._unpublished(coverage) if coverage else self._wanted.values()
        return [found for found in added if self._harm(found)]

    # --- slot

    def slot_statements(self) -> Iterator[str]:
        """Yield the slot, if the sidecar does not create it."""
        if not self._prepared.has_slot and not self._config.postgres.create_slot:
            name = self._config.postgres.slot  # letters, digits and _
            yield (
                "-- Only if the service has no position yet. Otherwise changes are lost: see"
                " docs/how-to/recover-a-lost-slot.md\n"
                f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput');"
            )

    # --- what no statement of ours mends

    def remarks(self) -> Iterator[str]:
        """Yield what a person must decide."""
        yield from self._absent()
        for found in self._harmed():
            yield f"{found.relation.qualified_name} is not published: {self._harm(found)}"
        coverage = self._prepared.coverage
        if coverage:
            capture = self._capture
            names = ", ".join(name for name in coverage.tables if not capture.captures(name))
            if names:
                yield f"published, but not configured, so the sidecar drops these rows: {names}"

    def _absent(self) -> Iterator[str]:
        prepared, coverage = self._prepared, self._prepared.coverage
        known = [found.relation.qualified_name for found in prepared.candidates]
        for name in self._listed:
            if name in prepared.partitions:
                if coverage is None or not _covers(coverage, name):
                    yield f"{name} is a partition: configure the partitioned table instead"
            elif name not in known:
                close = similar(name, known)
                yield f"{name} does not exist" + (f": did you mean {close}?" if close else "")
        for glob in self._globs:
            if not any(map(glob.matches, known)):
                yield f"{glob.name} matches no table"


def _covers(coverage: Coverage, name: str) -> bool:
    listed = name in coverage.tables or name.split(".", 1)[0] in coverage.schemas
    return coverage.all_tables or listed


def _operations(coverage: Coverage, name: str) -> Iterator[str]:
    sent = coverage.publication
    if not (sent.inserts and sent.updates and sent.deletes):
        operations = "insert, update, delete" + (", truncate" if sent.truncates else "")
        yield f"ALTER PUBLICATION {name} SET (publish = '{operations}');"


def _add_tables(publication: str, tables: list[str], guard: str) -> str:
    """Return the transaction that adds tables; no transaction of a table is captured in part."""
    listed = ", ".join(tables)
    return "\n".join(
        [
            "BEGIN;",
            f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}';  -- try again later if this fails",
            f"LOCK TABLE {listed} IN SHARE ROW EXCLUSIVE MODE;",
            f"ALTER PUBLICATION {publication} ADD TABLE {listed};",
            guard,
            "COMMIT;",
        ]
    )
