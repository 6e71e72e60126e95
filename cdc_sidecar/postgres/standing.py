"""Configured tables that a publication does not send: what each name is, and how to publish it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import psycopg

from cdc_sidecar.postgres.sql_names import quoted, quoted_table, similar

_KINDS: Final = {
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
    "S": "sequence",
    "c": "composite type",
    "i": "index",
    "I": "index",
    "t": "TOAST table",
}
"""`pg_class.relkind` of relations that logical replication does not send."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a publication sends, apart from single tables."""

    name: str
    all_tables: bool
    via_root: bool  # publish_via_partition_root


class Standing(Enum):
    """How far a configured table is from being sent."""

    MISSING = "there is no relation of this name"
    NEVER = "it is a relation whose changes are never sent under its name"
    UNLOGGED = "its changes are not in the WAL"
    APART = "the publication does not have it yet"


@dataclass(frozen=True, slots=True)
class Absentee:
    """A configured table that is not sent; `remedy` is SQL where SQL can help."""

    name: str  # `schema.table`, as in the configuration
    cause: str
    remedy: str
    standing: Standing

    @property
    def can_be_sent(self) -> bool:
        """Whether it is a table that the publication will send once the remedy was applied."""
        return self.standing in (Standing.UNLOGGED, Standing.APART)


_SCOPE: Final = (
    "SELECT pubname::text, puballtables, pubviaroot FROM pg_publication WHERE pubname = %s"
)
_RELATIONS: Final = """
SELECT w.name, c.relkind::text, c.relpersistence::text,
       c.oid < 16384 OR n.nspname ~ '^(pg_|information_schema$)',
       EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid)
           {schemas} AS is_member,
       (SELECT t.schemaname || '.' || t.tablename FROM pg_publication_tables t
        JOIN pg_namespace an ON an.nspname = t.schemaname
        JOIN pg_class a ON a.relnamespace = an.oid AND a.relname = t.tablename
        WHERE t.pubname = p.pubname AND a.oid <> c.oid
          AND a.oid IN (SELECT relid FROM pg_partition_ancestors(c.oid)) LIMIT 1)
FROM unnest(%(names)s::text[]) w(name)
JOIN pg_namespace n ON n.nspname = split_part(w.name, '.', 1)
JOIN pg_class c ON c.relnamespace = n.oid
    AND c.relname = substr(w.name, strpos(w.name, '.') + 1)
LEFT JOIN pg_publication p ON p.pubname = %(publication)s
"""
_IN_SCHEMA: Final = """
OR EXISTS (SELECT FROM pg_publication_namespace m WHERE m.pnpubid = p.oid AND m.pnnspid = n.oid)
"""
_TABLES: Final = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema$)'
"""
_SENDABLE: Final = "AND c.relpersistence = 'p' AND NOT c.relispartition"


def read_absentees(
    connection: psycopg.Connection, publication: str, names: Sequence[str]
) -> tuple[Absentee, ...]:
    """Return why tables are not sent by a publication, in the order of `names`.

    One that does not exist yet will be made to send every configured table that it can, so only
    what keeps a table from it is returned.
    """
    row = connection.execute(_SCOPE, (publication,)).fetchone()
    scope = Scope(*row) if row else Scope(publication, all_tables=True, via_root=True)
    found = _absentees(connection, scope, names) if names else []
    return tuple(each for each in found if row or each.standing is not Standing.APART)


def _absentees(
    connection: psycopg.Connection, scope: Scope, names: Sequence[str]
) -> list[Absentee]:
    modern = connection.info.server_version >= 150000  # noqa: PLR2004 - schemas came with 15
    query = _RELATIONS.format(schemas=_IN_SCHEMA if modern else "").encode()
    words = {"names": list(names), "publication": scope.name}
    found = {row[0]: _found(scope, *row) for row in connection.execute(query, words)}
    tables = [str(row[0]) for row in connection.execute(_TABLES)] if len(found) < len(names) else []
    return [found.get(name) or _missing(name, tables) for name in names]


def read_matching_names(
    connection: psycopg.Connection, matches: Callable[[str], bool]
) -> tuple[str, ...]:
    """Return the names of the tables that match and that a publication could send."""
    names = (str(row[0]) for row in connection.execute(_TABLES + _SENDABLE))
    return tuple(filter(matches, names))


def _missing(name: str, tables: Sequence[str]) -> Absentee:
    meant = similar(name, tables)
    remedy = (
        f"did you mean {meant}? Correct the name in the configuration"
        if meant
        else f"create {name}, or take it out of the configuration"
    )
    return Absentee(name, f"{name} does not exist", remedy, Standing.MISSING)


def _found(
    scope: Scope,
    name: str,
    kind: str,
    persistence: str,
    system: bool,  # noqa: FBT001 - as above
    member: bool,  # noqa: FBT001 - as above
    root: str | None,
) -> Absentee:
    if kind in _KINDS or system or persistence == "t":
        what = _KINDS.get(kind) or ("system table" if system else "temporary table")
        remedy = f"take {name} out of the configuration, or configure the tables behind it"
        cause = f"{name} is a {what}, whose changes are not sent"
        return Absentee(name, cause, remedy, Standing.NEVER)
    if root and scope.via_root:
        cause = f"{name} is a partition, and the publication sends its rows as those of {root}"
        return Absentee(name, cause, f"configure {root} instead of {name}", Standing.NEVER)
    statements = _statements(scope, name, kind, persistence, member=member or scope.all_tables)
    cause = f"{name} is unlogged" if persistence == "u" else f"{name} was never added to it"
    if member or (scope.all_tables and persistence == "p"):
        cause = f"the rows of {name} are sent as those of its partitions"
    standing = Standing.UNLOGGED if persistence == "u" else Standing.APART
    return Absentee(name, cause, "; ".join(statements), standing)


def _statements(scope: Scope, name: str, kind: str, persistence: str, *, member: bool) -> list[str]:
    """Return the SQL after which the publication sends a table."""
    table, publication = quoted_table(name), f"ALTER PUBLICATION {quoted(scope.name)}"
    logged = [f"ALTER TABLE {table} SET LOGGED"] if persistence == "u" else []
    added = [] if member else [f"{publication} ADD TABLE {table}"]
    rooted = kind == "p" and not scope.via_root
    return logged + added + ([f"{publication} SET (publish_via_partition_root = true)"] * rooted)
