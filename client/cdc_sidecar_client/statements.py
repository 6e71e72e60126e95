"""The SQL of the three shapes of an outbox."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

Shape = Literal["table", "transient", "message"]
PayloadAs = Literal["text", "bytes"]


class Style(Enum):
    """How a driver writes the place of a parameter."""

    DOLLAR = "$1"
    FORMAT = "%s"


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with its parameters, of which one stands after each part but the last."""

    parts: tuple[str, ...]
    parameters: tuple[object, ...]

    def text(self, style: Style) -> str:
        """Return the SQL as a driver takes it."""
        if style is Style.FORMAT:
            return "%s".join(part.replace("%", "%%") for part in self.parts)
        places = (f"${number}" for number in range(1, len(self.parts)))
        return self.parts[0] + "".join(
            place + part for place, part in zip(places, self.parts[1:], strict=True)
        )


@dataclass(frozen=True, slots=True)
class Row:
    """An event as the columns of an outbox: texts by their column, and values of the caller's."""

    texts: Mapping[str, str | None]
    extra: Mapping[str, object]


def insert(table: str, row: Row, casts: Mapping[str, str]) -> Statement:
    """Return the INSERT of a row; `casts` turn the text of a column into its type.

    A value of the caller's is passed to the driver as it is, and has the type of its column.
    """
    names = ", ".join(map(quoted, [*row.texts, *row.extra]))
    pieces = [f"INSERT INTO {quoted_table(table)} ({names}) VALUES ("]  # noqa: S608 - quoted
    for column in row.texts:
        before, after = casts.get(column, "CAST({} AS text)").split("{}")
        pieces[-1] += before
        pieces.append(f"{after}, ")
    pieces += [", "] * len(row.extra)
    pieces[-1] = pieces[-1].removesuffix(", ") + ")"
    return Statement(tuple(pieces), (*row.texts.values(), *row.extra.values()))


def delete(table: str, column: str, event_id: str) -> Statement:
    """Return the DELETE of the row that was inserted before."""
    target = f"{quoted_table(table)} WHERE {quoted(column)}"
    parts = (f"DELETE FROM {target} = CAST(CAST(", " AS text) AS uuid)")  # noqa: S608 - quoted
    return Statement(parts, (event_id,))


def message(prefix: str, content: str) -> Statement:
    """Return the statement that writes a logical message as part of the transaction."""
    parts = ("SELECT pg_logical_emit_message(true, CAST(", " AS text), CAST(", " AS text))")
    return Statement(parts, (prefix, content))


UUID_CAST = "CAST(CAST({} AS text) AS uuid)"
PAYLOAD_CASTS: Mapping[PayloadAs, str] = {
    "text": "CAST(CAST({} AS text) AS json)",  # Postgres assigns it to json, jsonb and text
    "bytes": "convert_to(CAST({} AS text), 'UTF8')",
}


def quoted(name: str) -> str:
    """Return a name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def quoted_table(name: str) -> str:
    """Return `schema.table` as SQL; the first dot separates the two."""
    return ".".join(map(quoted, name.split(".", 1)))
