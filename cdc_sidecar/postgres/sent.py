"""The tables that a question is about: those of a publication, or some that it may get."""

from typing import Final

PUBLISHED: Final = "(SELECT * FROM pg_publication_tables WHERE pubname = %(publication)s)"
"""The tables of a publication, as a part of SQL."""
NAMED: Final = """
(SELECT split_part(w.name, '.', 1) AS schemaname,
        substr(w.name, strpos(w.name, '.') + 1) AS tablename
 FROM unnest(%(names)s::text[]) w(name))
"""
"""The tables of the given names, `schema.table`."""
