"""The hot path: one function walks a pgoutput tuple by a plan and writes its Avro bytes.

No value becomes a Python object that an event would hold. This is the plain, readable definition;
`_transcode.pyx` is its compiled twin with the same interface, and `twin` says which one runs.
"""

import struct
from collections.abc import Callable
from functools import partial
from typing import Final

from cdc_sidecar.errors import ProtocolViolation, Unrepresentable
from cdc_sidecar.events.binary import NULL, SOME
from cdc_sidecar.events.plan import Plan
from cdc_sidecar.events.ports import Transcoded
from cdc_sidecar.events.values import ValueRefused
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


def transcode(  # noqa: C901, PLR0912 - a call costs as much as a column: nothing is moved out
    plan: Plan, frame: bytes, start: int, old: int = -1
) -> Transcoded:
    """Write the row of the TupleData at `start` of `frame`.

    `old` is where the old row's TupleData starts, if the server sent one: a value that the new row
    leaves out (an unchanged TOAST) is taken from there where it stands.

    Raises:
        Unrepresentable: a value has no exact Avro form; names the column, never the value.
        ProtocolViolation: the tuple does not fit the plan or the frame.

    """
    size = len(frame)
    steps = plan.steps
    if frame[start : start + 2] != plan.width:
        raise malformed(frame)
    parts: list[bytes] = []
    append = parts.append
    length_at = _length_at
    unchanged: tuple[int, ...] = ()
    at = start + 2
    try:
        for operation, nullable in steps:
            kind = frame[at]
            if kind == _TEXT:
                text = at + 5
                at = text + length_at(frame, at + 1)[0]
                if at > size:
                    raise malformed(frame)
                if operation is None:
                    continue
                if nullable:
                    append(SOME + operation(frame[text:at]))
                else:
                    append(operation(frame[text:at]))
            elif kind == _NULL:
                at += 1
                if operation is not None:
                    append(_encode_null(nullable=nullable))
            elif kind == _UNCHANGED:
                at += 1
                if operation is not None:
                    part = from_old(plan, frame, old, len(parts))
                    if part is None:
                        unchanged = (*unchanged, len(parts))
                    append(part or _encode_null(nullable=nullable))
            else:
                raise malformed(frame)
    except (IndexError, struct.error):
        raise malformed(frame) from None
    except (ValueError, KeyError, OverflowError) as error:
        raise refused(plan, len(parts), error) from None
    key = plan.key
    if not key:
        return b"".join(parts), None, unchanged, at
    if len(key) == 1:
        return b"".join(parts), parts[key[0]], unchanged, at
    return b"".join(parts), b"".join([parts[place] for place in key]), unchanged, at


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
    """Return what is raised for it."""
    return ValueRefused("NULL in a key")


def from_old(plan: Plan, frame: bytes, old: int, place: int) -> bytes | None:
    """Return the bytes of a sent column from the old row, or None where it does not stand."""
    if old < 0:
        return None
    sent = plan.sent[place]
    text = columns_of(frame, old)[0][plan.columns.index(sent)]
    if text is None or text is UNCHANGED:
        return None
    return SOME + sent.operation(text) if sent.field.nullable else sent.operation(text)


def malformed(frame: bytes) -> ProtocolViolation:
    """Return what is raised for a row that does not fit the plan or the frame."""
    return ProtocolViolation(f"row message of {len(frame)} bytes does not fit its relation")


def refused(plan: Plan, place: int, error: Exception) -> Unrepresentable:
    """Return what is raised for the value of a sent column that its operation refused."""
    column = plan.sent[place]
    what = str(error) if isinstance(error, ValueRefused) else "a text that is no such value"
    return Unrepresentable(
        f"{what}, in column {column.name} ({column.field.postgres_type})",
        hint=f'set [tables.column.{column.name}] as = "text", or mend the row and replay',
    )
