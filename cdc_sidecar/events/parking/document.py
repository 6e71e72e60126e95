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
    moment = datetime.fromtimestamp(transaction.commit_time / 1e6, UTC)
    facts: dict[str, Any] = {
        "version": VERSION,
        "service": origin.service,
        "origin": origin.name,
        "kind": origin.kind,
        "topic": origin.topic,
        "op": refused.op,
        "commit_lsn": format_lsn(transaction.final_lsn),
        "lsn": format_lsn(transaction.lsn),
        "transaction": transaction.xid,
        "committed_at": moment.isoformat(timespec="microseconds"),
        "error": {name: text for name, text in error.parts.items() if text},
        "key": _spell_row(refused.key),
    }
    if refused.content is not None:
        facts["content"] = _spell(refused.content)
    else:
        rows = {"before": refused.before, "after": refused.after}
        facts |= {name: _spell_row(row) for name, row in rows.items()}
        facts["unchanged"] = [name for name, text in _items(refused.after) if text is UNCHANGED]
    return _json(facts)


def encode_key(key: Row | None) -> bytes | None:
    """Return what identifies a row as JSON."""
    return None if key is None else _json(_spell_row(key))


def divide(document: bytes, room: int) -> list[bytes]:
    """Return the parts of a document, each of at most `room` bytes."""
    return [document[at : at + room] for at in range(0, len(document), room)]


class Documents:
    """Puts documents together again that were divided."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, int], bytes] = {}

    def add(self, place: tuple[str, int], value: bytes, part: str) -> dict[str, Any] | None:
        """Accept the next record of a topic partition; return the document that it completes.

        A part whose beginning was deleted is passed over. `part` is empty if there is only one.
        """
        number, _, count = part.partition("/")
        if number in ("", "1"):
            whole = value
        elif place in self._parts:
            whole = self._parts.pop(place) + value
        else:
            return None
        if number != count:
            self._parts[place] = whole
            return None
        document: dict[str, Any] = json.loads(whole)
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
