"""Names of Postgres as a person reads and writes them: quoted in SQL, and corrected if misspelt."""

import difflib
import re
from collections.abc import Sequence
from typing import Final

_SIMILARITY: Final = 0.6
"""The least similarity of a suggested name, from 0 to 1: the default of `difflib`."""
_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]*")
_RESERVED: Final = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit
    boolean both case cast char character check coalesce collate collation column concurrently
    constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user dec decimal default deferrable desc distinct do else end except
    exists extract false fetch float for foreign freeze from full grant greatest group grouping
    having ilike in initially inner inout int integer intersect interval into is isnull join json
    json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar
    json_serialize json_table json_value lateral leading least left like limit localtime
    localtimestamp merge_action national natural nchar none normalize not notnull null nullif
    numeric offset on only or order out outer overlaps overlay placing position precision primary
    real references returning right row select session_user setof similar smallint some substring
    symmetric system_user table tablesample then time timestamp to trailing treat trim true union
    unique user using values varchar variadic verbose when where window with xmlattributes
    xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize
    xmltable
    """.split()  # noqa: SIM905 - as Postgres's own list
)
"""The key words that `quote_identifier` of Postgres quotes: all but the unreserved ones."""


def quoted(name: str) -> str:
    """Return a name as Postgres's `quote_ident` does."""
    if _PLAIN.fullmatch(name) and name not in _RESERVED:
        return name
    return always_quoted(name)


def always_quoted(name: str) -> str:
    """Return a name as a quoted identifier: the replication grammar has key words of its own."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def quoted_table(name: str) -> str:
    """Return the `schema.table` of a configuration as SQL; the first dot separates the two."""
    schema, _, table = name.partition(".")
    return f"{quoted(schema)}.{quoted(table)}"


def quoted_list(names: tuple[str, ...]) -> str:
    """Return names as an SQL list, without parentheses."""
    return ", ".join(map(quoted, names))


def similar(name: str, names: Sequence[str]) -> str | None:
    """Return the name that was probably meant."""
    folded = {known.casefold(): known for known in names}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=_SIMILARITY)
    return folded[close[0]] if close else None
