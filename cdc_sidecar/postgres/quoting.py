"""Names and texts as SQL that a person runs: identifiers, tables and literals in quotes."""


def quote(name: str) -> str:
    """Return an identifier in quotes."""
    return '"' + name.replace('"', '""') + '"'


def quote_table(namespace: str, table: str) -> str:
    """Return `"schema"."table"`."""
    return f"{quote(namespace)}.{quote(table)}"


def quote_literal(text: str) -> str:
    """Return a text in single quotes."""
    return "'" + text.replace("'", "''") + "'"
