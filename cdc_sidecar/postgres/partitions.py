"""Partitions as the catalog shows them: the relatives of a relation, and the leaves of a root."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg

from cdc_sidecar.postgres.pgoutput import ReplicaIdentity
from cdc_sidecar.postgres.sent import NAMED, PUBLISHED
from cdc_sidecar.postgres.types import Lineage


@dataclass(frozen=True, slots=True)
class Leaf:
    """A partition that holds rows, of a partitioned table whose changes are sent as its own."""

    root_oid: int
    name: str  # `schema.table`
    identity: ReplicaIdentity
    identity_columns: frozenset[str]  # of the old row; with FULL every column
    logged: bool  # the changes of an unlogged partition are not sent


_NAME: Final = "n.nspname || '.' || c.relname"
_NAMES: Final = f"""
SELECT {_NAME} FROM {{relatives}} r JOIN pg_class c ON c.oid = r.relid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid <> %(oid)s
"""  # noqa: S608 - constants only
_ANCESTORS: Final = _NAMES.format(relatives="pg_partition_ancestors(%(oid)s::oid::regclass)")
_PARTITIONS: Final = _NAMES.format(relatives="pg_partition_tree(%(oid)s::oid::regclass)")
_LINEAGE: Final = f"""
SELECT (SELECT {_NAME} FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = %(oid)s),
       ARRAY({_ANCESTORS}), ARRAY({_PARTITIONS})
"""  # noqa: S608 - constants only

_LEAVES: Final = f"""
SELECT root.oid::bigint, {_NAME}, c.relreplident::text, c.relpersistence <> 'u',
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               AND (c.relreplident = 'f' OR EXISTS (
                    SELECT FROM pg_index i
                    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
                    WHERE i.indrelid = c.oid AND k.attnum = a.attnum AND k.place <= i.indnkeyatts
                      AND CASE c.relreplident WHEN 'i' THEN i.indisreplident
                                              WHEN 'd' THEN i.indisprimary AND i.indimmediate
                                              ELSE false END)))
FROM {{tables}} p
JOIN pg_namespace s ON s.nspname = p.schemaname
JOIN pg_class root ON root.relnamespace = s.oid AND root.relname = p.tablename
CROSS JOIN LATERAL pg_partition_tree(root.oid) t
JOIN pg_class c ON c.oid = t.relid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE root.relkind = 'p' AND t.isleaf
ORDER BY 1, 2
"""  # noqa: S608 - constants only


def read_lineage(connection: psycopg.Connection, oid: int) -> Lineage:
    """Return the present names of a relation and of the partitions around it."""
    row = connection.execute(_LINEAGE.encode(), {"oid": oid}).fetchone()
    assert row is not None  # noqa: S101 - the query has no FROM
    name, ancestors, partitions = row
    return Lineage(name, tuple(ancestors), tuple(partitions))


def read_leaves(
    connection: psycopg.Connection, publication: str, names: Sequence[str] | None = None
) -> tuple[Leaf, ...]:
    """Return the leaves of every table that is published with `publish_via_partition_root`.

    With `names`, the leaves of these tables are returned as though they were.
    """
    query = _LEAVES.format(tables=PUBLISHED if names is None else NAMED).encode()
    words = {"publication": publication, "names": list(names or ())}
    return tuple(
        Leaf(root, name, ReplicaIdentity(identity), frozenset(columns), logged)
        for root, name, identity, logged, columns in connection.execute(query, words)
    )
