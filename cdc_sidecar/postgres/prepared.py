"""How far a database is prepared for a sidecar: role, privileges, publication, slot."""

from dataclasses import dataclass
from typing import Final

import psycopg

from cdc_sidecar.postgres.candidates import Candidate, read_candidates
from cdc_sidecar.postgres.catalog import Publication, read_publication


@dataclass(frozen=True, slots=True)
class Role:
    """A role as far as a sidecar needs it."""

    may_login: bool
    may_replicate: bool
    may_connect: bool  # to this database


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a publication covers."""

    publication: Publication
    all_tables: bool
    via_root: bool
    schemas: tuple[str, ...]
    tables: tuple[str, ...]  # `schema.table` of those that it lists


@dataclass(frozen=True, slots=True)
class Prepared:
    """The state of a database; a part is None if it does not exist."""

    database: str
    role: Role | None
    candidates: tuple[Candidate, ...]
    partitions: tuple[str, ...]  # `schema.table`; they are no candidates
    usable_schemas: tuple[str, ...]  # that exist, and in which the role has USAGE
    readable: tuple[str, ...]  # `schema.table` of those on which the role has SELECT
    deletable: tuple[str, ...]  # likewise with DELETE
    coverage: Coverage | None
    can_send_schemas: bool  # whether a publication can list them: since Postgres 15
    has_slot: bool


_SCHEMAS_LISTED: Final = 150000
"""`server_version_num` since which a publication can list schemas."""
_ROLE: Final = """
SELECT rolcanlogin,
       rolreplication OR rolsuper OR EXISTS (
           SELECT FROM pg_roles m
           WHERE m.rolname = 'rds_replication' AND pg_has_role(r.oid, m.oid, 'MEMBER')),
       has_database_privilege(oid, current_database(), 'CONNECT')
FROM pg_roles r WHERE rolname = %s
"""
"""On Amazon RDS and Aurora, membership of a role takes the place of the attribute REPLICATION."""
_SCHEMAS: Final = """
SELECT nspname::text FROM pg_namespace, pg_roles r
WHERE r.rolname = %s AND has_schema_privilege(r.oid, pg_namespace.oid, 'USAGE')
"""
_READABLE: Final = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
       pg_roles r
WHERE r.rolname = %s AND c.relkind IN ('r', 'p') AND has_table_privilege(r.oid, c.oid, 'SELECT')
"""
_DELETABLE: Final = _READABLE.replace("'SELECT'", "'DELETE'")
_PARTITIONS: Final = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relispartition AND c.relkind IN ('r', 'p')
"""
_COVERAGE: Final = "SELECT puballtables, pubviaroot FROM pg_publication WHERE pubname = %s"
_LISTED: Final = """
SELECT n.nspname || '.' || c.relname FROM pg_publication p
JOIN pg_publication_rel r ON r.prpubid = p.oid
JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.pubname = %s
"""
_LISTED_SCHEMAS: Final = """
SELECT n.nspname::text FROM pg_publication p
JOIN pg_publication_namespace s ON s.pnpubid = p.oid JOIN pg_namespace n ON n.oid = s.pnnspid
WHERE p.pubname = %s
"""
_SLOT: Final = "SELECT slot_name::text FROM pg_replication_slots WHERE slot_name = %s"


def read_prepared(
    connection: psycopg.Connection, role: str, publication: str, slot: str
) -> Prepared:
    """Return how far the database of a connection is prepared for `role`."""

    def names(query: str, argument: str) -> tuple[str, ...]:
        return tuple(str(row[0]) for row in connection.execute(query.encode(), (argument,)))

    found = connection.execute(_ROLE, (role,)).fetchone()
    partitions = connection.execute(_PARTITIONS).fetchall()
    return Prepared(
        connection.info.dbname,
        Role(*found) if found else None,
        read_candidates(connection, publication),
        tuple(str(row[0]) for row in partitions),
        names(_SCHEMAS, role),
        names(_READABLE, role),
        names(_DELETABLE, role),
        _read_coverage(connection, publication),
        connection.info.server_version >= _SCHEMAS_LISTED,
        bool(names(_SLOT, slot)),
    )


def _read_coverage(connection: psycopg.Connection, name: str) -> Coverage | None:
    publication = read_publication(connection, name)
    row = connection.execute(_COVERAGE, (name,)).fetchone()
    if publication is None or row is None:
        return None
    listed = connection.execute(_LISTED, (name,)).fetchall()
    schemas: list[tuple[str, ...]] = []
    if connection.info.server_version >= _SCHEMAS_LISTED:
        schemas = connection.execute(_LISTED_SCHEMAS, (name,)).fetchall()
    return Coverage(
        publication,
        bool(row[0]),
        bool(row[1]),
        tuple(str(schema[0]) for schema in schemas),
        tuple(str(table[0]) for table in listed),
    )
