"""The document of a parked event: JSON that a person can read without any schema.

A document that is larger than its topic accepts is divided into parts: records that follow each
other in one topic partition, with the header `part` (`2/5`).
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.postgres.pgoutput import UNCHANGED, ColumnData

VERSION: Final = 1
PARKED: Final = "parked"
"""The header with the code of the error; every record of a parked event has it."""
PART: Final = "part"
"""The header of a divided document: number and count of its parts."""

Row = Mapping[str, ColumnData]
"""The texts of a row by the names of its columns."""


@dataclass(frozen=True, slots=True)
class ParkedOrigin:
    """The table or the outbox that parks its events."""

    service: str
    name: str
    kind: str  # `table` or `outbox`
    topic: str  # where its events go otherwise; of an outbox with columns in braces


@dataclass(frozen=True, slots=True)
class Refused:
    """A change that cannot be published: rows as far as Postgres has sent them, or a message."""

    op: str  # one of Debezium's letters
    before: Row | None = None
    after: Row | None = None
    content: bytes | None = None  # of a logical message
    key: Row | None = None  # what identifies the row
    event_type: str | None = None


def encode_document(
    origin: ParkedOrigin, transaction: SourceTransaction, refused: Refused, error: SidecarError
) -> bytes:
    """Return the whole event and the error as JSON."""
    return _json(
        {
            "version": VERSION,
            "service": origin.service,
            "origin": origin.name,
            "kind": origin.kind,
            "topic": origin.topic,
            "op": refused.op,
            **_place(transaction),
            "error": {name: text for name, text in error.parts.items() if text},
            **_change(refused),
        }
    )


def _place(transaction: SourceTransaction) -> dict[str, Any]:
    moment = datetime.fromtimestamp(transaction.commit_time / 1e6, UTC)
    return {
        "commit_lsn": format_lsn(transaction.final_lsn),
        "lsn": format_lsn(transaction.lsn),
        "transaction": transaction.xid,
        "committed_at": moment.isoformat(timespec="microseconds"),
    }


def _change(refused: Refused) -> dict[str, Any]:
    if refused.content is not None:
        return {"key": None, "content": _spell(refused.content)}
    rows = {"key": refused.key, "before": refused.before, "after": refused.after}
    unchanged = [name for name, text in _items(refused.after) if text is UNCHANGED]
    return {**{name: _spell_row(row) for name, row in rows.items()}, "unchanged": unchanged}


def encode_key(key: Row | None) -> bytes | None:
    """Return what identifies a row as JSON."""
    return None if key is None else _json(_spell_row(key))


def divide(document: bytes, room: int) -> list[bytes]:
    """Return the parts of a document, each of at most `room` bytes."""
    return [document[at : at + room] for at in range(0, len(document), room)]


class Documents:
    """Puts the documents of one topic together again that were divided."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, value: bytes, part: str) -> dict[str, Any] | None:
        """Accept the next record; return the document that it completes.

        Passed over are parts whose beginning was deleted, and what is no document.
        """
        number, _, count = part.partition("/")
        if number in ("", "1"):
            self._parts = []
        elif not self._parts:
            return None
        self._parts.append(value)
        if number != count:
            return None
        whole, self._parts = b"".join(self._parts), []
        return _read(whole)


def _read(text: bytes) -> dict[str, Any] | None:
    """Return a document; None if it is not one of this version."""
    try:
        document: Any = json.loads(text)
    except ValueError:
        return None
    if not isinstance(document, dict) or document.get("version") != VERSION:
        return None
    return document


def _items(row: Row | None) -> Iterable[tuple[str, ColumnData]]:
    return row.items() if row else ()


def _spell_row(row: Row | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return dict(_spell_columns(row))


def _spell_columns(row: Row) -> Iterator[tuple[str, Any]]:
    for name, text in row.items():
        if text is UNCHANGED:
            continue
        yield name, None if text is None else _spell(text)


def _spell(text: bytes) -> str | dict[str, str]:
    """Return a text; one that is not UTF-8 as base64."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(text).decode()}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
