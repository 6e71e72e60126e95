"""The hot path: one function walks a pgoutput tuple by a plan and writes its Avro bytes.

A value goes from Postgres's text to Avro's bytes; no event is built of Python objects. This is the
plain, readable definition. `_transcode.pyx` is its compiled twin with the same interface, and
`twin` chooses which one runs.
"""

import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from cdc_sidecar.errors import ProtocolViolation, Unrepresentable
from cdc_sidecar.events.binary import NULL, SOME
from cdc_sidecar.events.copy_line import fields_of
from cdc_sidecar.events.own_block import toml_key
from cdc_sidecar.events.plan import Plan
from cdc_sidecar.events.ports import Transcoded, TranscodedLine
from cdc_sidecar.events.values import NullInKey, ValueRefused
from cdc_sidecar.postgres.pgoutput import UNCHANGED, ColumnData

_length_at = struct.Struct(">I").unpack_from
_TEXT: Final = ord("t")
_NULL: Final = ord("n")
_UNCHANGED: Final = ord("u")


class Transcoder:
    """Walks the rows of one plan."""

    def __init__(self, plan: Plan) -> None:
        self.transcode: Callable[..., Transcoded] = partial(transcode, plan)
        """Takes the frame, where the row starts, and where the old row starts, if there is one."""
        self.transcode_line: Callable[[bytes], TranscodedLine] = partial(transcode_line, plan)
        """Takes a line of COPY."""


def transcode(  # noqa: C901 - a call costs as much as a column: nothing is moved out
    plan: Plan, frame: bytes, start: int, old: int = -1
) -> Transcoded:
    """Write the row of the TupleData at `start` of `frame`; see `ports.Transcoder`."""
    if frame[start : start + 2] != plan.width:
        raise malformed(frame)
    parts: list[bytes] = []
    unchanged: tuple[int, ...] = ()
    append, length_at, size, at = parts.append, _length_at, len(frame), start + 2
    try:
        for operation, nullable in plan.steps:
            kind = frame[at]
            if kind == _TEXT:
                text = at + 5
                at = text + length_at(frame, at + 1)[0]
                if at > size:
                    raise malformed(frame)
                if operation is not None:
                    append(
                        SOME + operation(frame[text:at]) if nullable else operation(frame[text:at])
                    )
            elif kind == _NULL:
                at += 1
                if operation is not None:
                    append(_encode_null(nullable=nullable))
            elif kind == _UNCHANGED:
                at += 1
                if operation is not None:
                    part = from_old(plan, frame, old, len(parts))
                    unchanged = (*unchanged, len(parts)) if part is None else unchanged
                    append(part or _encode_null(nullable=nullable))
            else:
                raise malformed(frame)
    except (IndexError, struct.error):
        raise malformed(frame) from None
    except (ValueError, KeyError, OverflowError) as error:
        raise refused(plan, len(parts), error) from None
    return b"".join(parts), _key(parts, plan.key), unchanged, at


def transcode_line(plan: Plan, line: bytes) -> TranscodedLine:
    """Write the row of a line of COPY; see `ports.Transcoder`."""
    texts = fields_of(line)
    if len(texts) != len(plan.steps):
        raise malformed(line)
    parts: list[bytes] = []
    try:
        for (operation, nullable), text in zip(plan.steps, texts, strict=True):
            if operation is None:
                continue
            encoded = _encode_null(nullable=nullable) if text is None else operation(text)
            parts.append(SOME + encoded if nullable and text is not None else encoded)
    except (ValueError, KeyError, OverflowError) as error:
        raise refused(plan, len(parts), error) from None
    return b"".join(parts), _key(parts, plan.key)


def size_of_line(row: TranscodedLine) -> int:
    """Return the bytes of a row and its key."""
    return len(row[0]) + len(row[1] or b"")


def largest_of(rows: Sequence[TranscodedLine]) -> TranscodedLine:
    """Return the first of the rows with the most bytes; there is at least one row."""
    return max(rows, key=size_of_line)


def _key(parts: list[bytes], places: tuple[int, ...]) -> bytes | None:
    """Return the key's values, which are never NULL and have no union branch."""
    if len(places) == 1:
        return parts[places[0]]
    return b"".join([parts[place] for place in places]) if places else None


def columns_of(frame: bytes, start: int) -> tuple[list[ColumnData], int]:
    """Return each column of the TupleData at `start` (text, NULL or unchanged), and its end.

    Raises:
        ProtocolViolation: it does not fit the frame.

    """
    texts: list[ColumnData] = []
    at = start + 2
    try:
        for _ in range(int.from_bytes(frame[start:at], "big")):
            kind = frame[at]
            if kind == _TEXT:
                text = at + 5
                at = text + _length_at(frame, at + 1)[0]
                texts.append(frame[text:at])
            elif kind in (_NULL, _UNCHANGED):
                at += 1
                texts.append(None if kind == _NULL else UNCHANGED)
            else:
                raise malformed(frame)
    except (IndexError, struct.error):
        raise malformed(frame) from None
    if at > len(frame):
        raise malformed(frame)
    return texts, at


def _encode_null(*, nullable: bool) -> bytes:
    if not nullable:
        raise null_in_key()
    return NULL


def null_in_key() -> ValueRefused:
    """Return the error of NULL in a key."""
    return NullInKey("NULL in a key")


def from_old(plan: Plan, frame: bytes, old: int, place: int) -> bytes | None:
    """Return the bytes of a sent column from the old row, or None if the old row lacks it."""
    if old < 0:
        return None
    sent = plan.sent[place]
    text = columns_of(frame, old)[0][plan.columns.index(sent)]
    if text is None or text is UNCHANGED:
        return None
    return SOME + sent.operation(text) if sent.field.nullable else sent.operation(text)


def malformed(frame: bytes) -> ProtocolViolation:
    """Return the error of a row that does not fit the plan or the frame."""
    return ProtocolViolation(f"row message of {len(frame)} bytes does not fit its relation")


def refused(plan: Plan, place: int, error: Exception) -> Unrepresentable:
    """Return the error of a value that the operation of its column refused."""
    column = plan.sent[place]
    reason = (
        str(error) if isinstance(error, ValueRefused) else "a text that is not a value of this type"
    )
    cure = _OTHER_KEY if isinstance(error, NullInKey) else f'set {_block(column.name)} as = "text"'
    return Unrepresentable(
        f"{reason}, in column {column.name} ({column.field.postgres_type})",
        hint=f"{cure}{plan.where_to_set}",
    )


_OTHER_KEY: Final = (
    "choose columns for key = [...] that are never NULL, or leave key out and set unkeyed = true"
)


def _block(column: str) -> str:
    return f"[tables.column.{toml_key(column)}]"
