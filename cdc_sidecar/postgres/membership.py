"""The membership of tables in a publication, as far as the catalog keeps traces of its changes.

The server does not report that a table was out of the publication for a while. What it did not send
in that time never comes. The oid of the table's entry, the version of the publication's row, and
the storage of a table that was rewritten show that there was such a time.
"""

from typing import Final

import psycopg

from cdc_sidecar.postgres.types import Membership

_ENTRIES: Final = """
SELECT 'table ' || r.oid FROM pg_publication_rel r
WHERE r.prpubid = p.oid
  AND r.prrelid IN (SELECT c.oid UNION SELECT relid FROM pg_partition_ancestors(c.oid))
"""
_SCHEMAS: Final = """
UNION ALL SELECT 'schema ' || s.oid FROM pg_publication_namespace s
WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace
"""
_STORAGE: Final = """
SELECT jsonb_object_agg(l.oid::text, concat_ws('/', coalesce(nullif(l.reltoastrelid, 0)::text, (
         SELECT string_agg(q.relfilenode::text, ',' ORDER BY q.oid) FROM pg_depend d
         JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
         WHERE d.refobjid = l.oid AND d.classid = 'pg_class'::regclass), ''),
         (SELECT i.xmin::text FROM pg_inherits i WHERE i.inhrelid = l.oid AND l.relispartition)))
FROM pg_class l
WHERE l.relkind = 'r'
  AND l.oid = ANY (CASE c.relkind WHEN 'p' THEN ARRAY(SELECT relid FROM pg_partition_tree(c.oid))
                                  ELSE ARRAY[c.oid::regclass] END::oid[])
  AND NOT EXISTS (SELECT FROM pg_publication_rel r WHERE r.prrelid = l.oid)
"""
_MEMBERSHIPS: Final = f"""
SELECT c.oid::bigint, p.oid || '/' || p.xmin, ARRAY({_ENTRIES} {{schemas}} ORDER BY 1),
       {{definition}}, coalesce(({_STORAGE}), '{{{{}}}}')
FROM pg_publication p
JOIN pg_publication_tables t ON t.pubname = p.pubname
JOIN pg_namespace n ON n.nspname = t.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
WHERE p.pubname = %(publication)s AND (%(oid)s::oid IS NULL OR c.oid = %(oid)s)
"""  # noqa: S608 - constants only
_DEFINITION: Final = """
coalesce((SELECT concat_ws(' WHERE ', r.prattrs::text, pg_get_expr(r.prqual, r.prrelid))
          FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid), '')
"""


def read_memberships(
    connection: psycopg.Connection, publication: str, oid: int | None = None
) -> dict[int, Membership]:
    """Return the membership of every table of a publication, or of the one table, by oid."""
    # schemas, column lists and row filters came with version 15
    modern = connection.info.server_version >= 150000  # noqa: PLR2004 - see above
    query = _MEMBERSHIPS.format(
        schemas=_SCHEMAS if modern else "", definition=_DEFINITION if modern else "''"
    )
    return {
        table: Membership(publication, version, tuple(entries), definition, storage)
        for table, version, entries, definition, storage in connection.execute(
            query.encode(), {"publication": publication, "oid": oid}
        )
    }
