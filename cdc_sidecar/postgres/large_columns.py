"""The columns whose values may be stored out of line (TOAST), so that an update does not send them.

PostgreSQL documentation, "TOAST": a value that an UPDATE did not change is not written to the WAL.
"""

from typing import Final

import psycopg

_SHORT: Final = 504
"""The type modifier of varchar(500): 500 characters of four bytes still fit into a row."""
_LARGE: Final = """
SELECT c.oid::bigint, array_agg(a.attname::text ORDER BY a.attnum)
FROM pg_publication_tables p
JOIN pg_namespace n ON n.nspname = p.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE p.pubname = %(publication)s AND a.attstorage IN ('x', 'e')
  AND (c.reltoastrelid <> 0 OR c.relkind = 'p')  -- a row of the others always fits
  AND NOT (a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype)
           AND a.atttypmod BETWEEN 0 AND %(short)s)
GROUP BY 1
"""


def read_large_columns(
    connection: psycopg.Connection, publication: str
) -> dict[int, tuple[str, ...]]:
    """Return the columns that may be stored out of line, by the oid of each published table."""
    rows = connection.execute(_LARGE, {"publication": publication, "short": _SHORT})
    return {oid: tuple(columns) for oid, columns in rows}
