"""The tables of a database that a configuration may capture, whether they are published or not."""

from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import conninfo
from psycopg.rows import TupleRow

from cdc_sidecar.postgres.catalog import read_layout_facts
from cdc_sidecar.postgres.connect import translated
from cdc_sidecar.postgres.pgoutput import Relation, RelationColumn, ReplicaIdentity
from cdc_sidecar.postgres.replica_identity import Member, read_members
from cdc_sidecar.postgres.types import LayoutFacts


@dataclass(frozen=True, slots=True)
class Candidate:
    """A table with its columns as they would be sent: without generated columns."""

    relation: Relation
    facts: LayoutFacts
    dimensions: tuple[int, ...]  # per column, as declared: int[][] has 2
    is_partitioned: bool
    is_logged: bool
    has_generated: bool
    members: tuple[Member, ...]  # that a publication of all its columns would have


_TABLES: Final = """
SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relreplident::text,
       c.relkind = 'p', c.relpersistence = 'p', bool_or(a.attgenerated <> ''),
       (SELECT array_agg(k.attname::text) FROM pg_index i
        JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = ANY (i.indkey::int2[])
        WHERE i.indrelid = c.oid
              AND CASE c.relreplident WHEN 'i' THEN i.indisreplident
                                      WHEN 'd' THEN i.indisprimary AND i.indimmediate END),
       coalesce(array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attgenerated = ''),
                '{}'),
       array_agg(a.atttypid::bigint ORDER BY a.attnum) FILTER (WHERE a.attgenerated = ''),
       array_agg(a.atttypmod ORDER BY a.attnum) FILTER (WHERE a.attgenerated = ''),
       array_agg(a.attndims::int ORDER BY a.attnum) FILTER (WHERE a.attgenerated = '')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
GROUP BY c.oid, n.nspname ORDER BY 2, 3
"""


def read_candidates(connection: psycopg.Connection, publication: str) -> tuple[Candidate, ...]:
    """Return the tables of the database, sorted by name, for a publication that need not exist.

    Partitions, temporary tables and tables of the system or of an extension are left out.
    """
    rows = connection.execute(_TABLES.encode()).fetchall()
    names = [f"{namespace}.{name}" for _, namespace, name, *_ in rows]
    members: dict[int, list[Member]] = {}
    for member in read_members(connection, publication, names):
        members.setdefault(member.oid, []).append(member)
    return tuple(_candidate(connection, row, tuple(members.get(row[0], ()))) for row in rows)


def _candidate(
    connection: psycopg.Connection, row: TupleRow, members: tuple[Member, ...]
) -> Candidate:
    oid, namespace, name, identity, partitioned, logged, generated, identified = row[:8]
    names, types, modifiers, dimensions = (column or () for column in row[8:])
    columns = tuple(
        RelationColumn(identity == "f" or column in (identified or ()), column, oid, modifier)
        for column, oid, modifier in zip(names, types, modifiers, strict=True)
    )
    relation = Relation(oid, namespace, name, ReplicaIdentity(identity), columns)
    layout = read_layout_facts(connection, relation)
    return Candidate(relation, layout, tuple(dimensions), partitioned, logged, generated, members)


def sidecar_dsn(connection: psycopg.Connection, dsn: str, role: str) -> str:
    """Return the connection string with which `role` reaches the same database, without a password.

    What libpq took from the environment or a service file is written out.

    Raises:
        PostgresRefused: `dsn` is not a connection string.

    """
    with translated():
        words = conninfo.conninfo_to_dict(dsn)
        words.pop("password", None)
        info = connection.info
        words = {"host": info.host, "port": info.port, "dbname": info.dbname, **words}
        return conninfo.make_conninfo("", **{**words, "user": role})
