"""The catalog's facts about publications, tables and types, read on an ordinary connection."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from cdc_sidecar.postgres.membership import read_memberships
from cdc_sidecar.postgres.pgoutput import Relation, RelationColumn, ReplicaIdentity
from cdc_sidecar.postgres.sent import NAMED, PUBLISHED
from cdc_sidecar.postgres.types import LayoutFacts, Membership, TypeFacts, TypeKind


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication and the operations that it publishes."""

    name: str
    inserts: bool
    updates: bool
    deletes: bool
    truncates: bool


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """The present layout of a published table, as a Relation message, with the catalog's facts."""

    relation: Relation
    facts: LayoutFacts
    dimensions: tuple[int, ...]  # per column, as declared: int[][] has 2
    may_select: bool
    membership: Membership


_PUBLICATION: Final = """
SELECT pubname::text, pubinsert, pubupdate, pubdelete, pubtruncate
FROM pg_publication WHERE pubname = %s
"""

_TABLES: Final = """
SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relreplident::text,
       has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') AS may_select,
       array_agg(a.attname::text ORDER BY a.attnum),
       array_agg(a.atttypid::bigint ORDER BY a.attnum),
       array_agg(a.atttypmod ORDER BY a.attnum),
       array_agg(a.attndims::int ORDER BY a.attnum)
FROM {tables} p
JOIN pg_namespace n ON n.nspname = p.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename AND c.relkind IN ('r', 'p')
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE {listed} AND (%(oid)s::oid IS NULL OR c.oid = %(oid)s)
GROUP BY 1, 2, 3, 4, 5 ORDER BY 2, 3
"""

_GENERATED_SENT: Final = 180000
"""`server_version_num` since which a publication can send generated columns."""
_NOT_GENERATED: Final = "a.attgenerated = ''"
_SENT: Final = f"""
({_NOT_GENERATED} OR a.attgenerated = 's' AND EXISTS (
     SELECT FROM pg_publication WHERE pubname = %(publication)s AND pubgencols = 's'))
"""
_KEY: Final = """
SELECT a.attname::text
FROM pg_class c
JOIN pg_index i ON i.indrelid = c.oid
     AND CASE c.relreplident WHEN 'i' THEN i.indisreplident
                             WHEN 'n' THEN false WHEN 'f' THEN i.indisprimary
                             ELSE i.indisprimary AND i.indimmediate END
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
WHERE c.oid = %s AND k.place <= i.indnkeyatts
ORDER BY k.place
"""

_TYPES: Final = """
WITH RECURSIVE wanted(oid, modifier) AS (
    SELECT * FROM unnest(%s::oid[], %s::int[])
  UNION
    SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END,
           CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE w.modifier END
    FROM wanted w JOIN pg_type t ON t.oid = w.oid
    LEFT JOIN pg_type e ON e.oid = t.typelem
    WHERE t.typtype = 'd' OR e.typarray = t.oid
)
SELECT t.oid::bigint, w.modifier, format_type(t.oid, w.modifier), t.typname::text,
       CASE WHEN e.typarray = t.oid THEN 'a' ELSE t.typtype::text END, t.typdelim::text,
       CASE WHEN t.typtype = 'd' THEN t.typbasetype::bigint
            WHEN e.typarray = t.oid THEN e.oid::bigint END,
       CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE w.modifier END
FROM wanted w JOIN pg_type t ON t.oid = w.oid LEFT JOIN pg_type e ON e.oid = t.typelem
"""

_NAMES: Final = """
SELECT c.oid::bigint, n.nspname || '.' || c.relname
FROM pg_publication_tables p
JOIN pg_namespace n ON n.nspname = p.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
WHERE p.pubname = %s
"""

_MONEY: Final = "SELECT scale('1'::money::numeric)"


def read_publication(connection: psycopg.Connection, name: str) -> Publication | None:
    """Return a publication, or None if there is no publication of this name."""
    row = connection.execute(_PUBLICATION, (name,)).fetchone()
    return Publication(*row) if row else None


def read_published_tables(
    connection: psycopg.Connection, publication: str, oid: int | None = None
) -> tuple[PublishedTable, ...]:
    """Return every table of a publication, sorted by name; or the one with this oid."""
    version = connection.info.server_version
    lists = version >= 150000  # noqa: PLR2004 - column lists came with 15
    listed = "a.attname = ANY (p.attnames)" if lists else _NOT_GENERATED
    if lists and version < _GENERATED_SENT:  # the view has generated columns in some of them
        listed += f" AND {_NOT_GENERATED}"
    query = _TABLES.format(tables=PUBLISHED, listed=listed).encode()
    rows = connection.execute(query, {"publication": publication, "oid": oid}).fetchall()
    memberships = read_memberships(connection, publication, oid)
    known = (row for row in rows if row[0] in memberships)  # not one that was just taken out
    return tuple(_published_table(connection, row, memberships[row[0]]) for row in known)


def read_unpublished_tables(
    connection: psycopg.Connection, publication: str, names: Sequence[str]
) -> tuple[PublishedTable, ...]:
    """Return tables as though a publication, which need not exist, sent all their columns."""
    generates = connection.info.server_version >= _GENERATED_SENT
    listed = _SENT if generates else _NOT_GENERATED
    query = _TABLES.format(tables=NAMED, listed=listed).encode()
    wanted = {"publication": publication, "names": list(names), "oid": None}
    rows = connection.execute(query, wanted).fetchall()
    none = Membership(publication, "", (), "", {})
    return tuple(_published_table(connection, row, none) for row in rows)


def _published_table(
    connection: psycopg.Connection, row: TupleRow, membership: Membership
) -> PublishedTable:
    oid, namespace, name, identity, may_select, names, types, modifiers, dimensions = row
    key = set(_read_key(connection, oid))
    full = identity == "f"
    columns = tuple(
        RelationColumn(full or column in key, column, type_oid, modifier)
        for column, type_oid, modifier in zip(names, types, modifiers, strict=True)
    )
    relation = Relation(oid, namespace, name, ReplicaIdentity(identity), columns)
    facts = read_layout_facts(connection, relation)
    return PublishedTable(relation, facts, tuple(dimensions), may_select, membership)


def read_layout_facts(connection: psycopg.Connection, relation: Relation) -> LayoutFacts:
    """Return the catalog's present facts about a relation layout, which may be older.

    The key is the catalog's if it still fits the key flags of the layout; with REPLICA IDENTITY
    FULL, every column is flagged. If it does not fit, the key is the only flagged column, or
    unknown. A type that was dropped is None.
    """
    flagged = [column.name for column in relation.columns if column.is_key]
    key = _read_key(connection, relation.oid)
    full = relation.replica_identity is ReplicaIdentity.FULL
    if relation.replica_identity is ReplicaIdentity.NOTHING:
        key = ()
    elif not (set(key) <= set(flagged) if full else set(key) == set(flagged)):
        key = tuple(flagged) if len(flagged) == 1 and not full else ()
    money = connection.execute(_MONEY).fetchone()
    return LayoutFacts(key, _read_types(connection, relation), int(money[0]) if money else 0)


def _read_key(connection: psycopg.Connection, oid: int) -> tuple[str, ...]:
    return tuple(str(row[0]) for row in connection.execute(_KEY, (oid,)))


def _read_types(connection: psycopg.Connection, relation: Relation) -> tuple[TypeFacts | None, ...]:
    wanted = [(column.type_oid, column.type_modifier) for column in relation.columns]
    oids, modifiers = [oid for oid, _ in wanted], [modifier for _, modifier in wanted]
    rows = {(row[0], row[1]): row for row in connection.execute(_TYPES, (oids, modifiers))}

    def build(oid: int, modifier: int) -> TypeFacts | None:
        row = rows.get((oid, modifier))
        if row is None:
            return None
        _, _, name, typname, kind, delimiter, base, base_modifier = row
        below = None if base is None else build(base, base_modifier)
        return TypeFacts(oid, modifier, name, typname, TypeKind(kind), delimiter, below)

    return tuple(build(oid, modifier) for oid, modifier in wanted)


def read_table_names(connection: psycopg.Connection, publication: str) -> dict[int, str]:
    """Return the oid and `schema.table` of every table of a publication."""
    rows = connection.execute(_NAMES, (publication,))
    return {int(oid): str(name) for oid, name in rows}


_COLUMNS: Final = """
SELECT attname::text, attnum::int FROM pg_attribute
WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


def read_later_columns(connection: psycopg.Connection, relation: Relation) -> frozenset[str]:
    """Return the present columns that the table did not have yet at the time of a layout.

    A new column has a higher number than every column before it, and a renamed one keeps its
    number. A column that may be one of the layout under a new name is not among the result.
    """
    present = {
        str(name): int(number) for name, number in connection.execute(_COLUMNS, (relation.oid,))
    }
    layout = [column.name for column in relation.columns]
    ranges = [_range(layout, place, present) for place, n in enumerate(layout) if n not in present]
    return frozenset(
        name
        for name, number in present.items()
        if name not in layout and not any(low < number < high for low, high in ranges)
    )


def _range(layout: list[str], place: int, present: dict[str, int]) -> tuple[float, float]:
    """Return the bounds of the number of a column that no longer has its name."""
    before = [present[name] for name in layout[:place] if name in present]
    after = [present[name] for name in layout[place:] if name in present]
    return max(before, default=0), min(after, default=math.inf)
