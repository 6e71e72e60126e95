"""The layout of an envelope as data: the fields of an event in the order of its schema.

A layout is a sequence of constant bytes and slots. Constants are the fields that are the same for
all events of a table. A slot is a field that changes with the transaction, with the change or with
the event. Both twins of the envelope read it, so `schema.py` alone decides the order of fields.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final, cast

from cdc_sidecar.events.binary import encode_string, varint
from cdc_sidecar.events.mapping import Schema


class Slot(StrEnum):
    """A field whose bytes are not constant, by its path in the schema."""

    # the same for all events of a transaction
    COMMIT_MS = "source.ts_ms"
    COMMIT_US = "source.ts_us"
    COMMIT_NS = "source.ts_ns"
    XID = "source.txId"
    ORIGIN = "source.origin"
    ORIGIN_LSN = "source.origin_lsn"
    COMMIT_LSN = "source.commit_lsn"
    BLOCK = "transaction"  # only the branch of the union: whether there is a transaction
    BLOCK_ID = "transaction.id"
    RECEIVED_MS = "ts_ms"
    RECEIVED_US = "ts_us"
    RECEIVED_NS = "ts_ns"
    # the same for all events of a change
    SEQUENCE = "source.sequence"
    LSN = "source.lsn"
    # of one event
    BEFORE = "before"
    AFTER = "after"
    OP = "op"
    TOTAL_ORDER = "transaction.total_order"
    COLLECTION_ORDER = "transaction.data_collection_order"
    UNCHANGED = "unchanged"
    MESSAGE = "message"


OF_TRANSACTION: Final = (
    Slot.COMMIT_MS, Slot.COMMIT_US, Slot.COMMIT_NS, Slot.XID, Slot.ORIGIN, Slot.ORIGIN_LSN,
    Slot.COMMIT_LSN, Slot.BLOCK, Slot.BLOCK_ID, Slot.RECEIVED_MS, Slot.RECEIVED_US,
    Slot.RECEIVED_NS,
)  # fmt: skip
"""The slots that are the same for all events of a transaction."""

NULLABLE: Final = frozenset({
    Slot.XID, Slot.ORIGIN, Slot.ORIGIN_LSN, Slot.BLOCK, Slot.BEFORE, Slot.AFTER,
})  # fmt: skip
"""The slots that are sometimes null. The envelope writes the branch of their union too."""

EnvelopeLayout = tuple[bytes | Slot, ...]
"""Constants and slots in the order in which they are written."""

_SLOTS: Final = {slot.value: slot for slot in Slot}


def lay_out(
    schema: Schema, constants: Mapping[str, str | None], prefix: bytes = b""
) -> EnvelopeLayout:
    """Return the layout of a schema; `constants` are fields by path, `prefix` comes first.

    Raises:
        ValueError: the schema has a field that is neither a constant nor a slot.

    """
    layout: list[bytes | Slot] = []
    constant = prefix
    for part in _parts(schema, constants, ""):
        if isinstance(part, Slot):
            layout += [constant, part] if constant else [part]
            constant = b""
        else:
            constant += part
    return (*layout, constant) if constant else tuple(layout)


def _parts(
    record: Schema, constants: Mapping[str, str | None], path: str
) -> Iterator[bytes | Slot]:
    for field in cast("list[Schema]", record["fields"]):
        name = f"{path}{field['name']}"
        declared = field["type"]
        if name in constants:
            yield _constant(declared, constants[name])
            continue
        slot = _SLOTS.get(name)
        if slot is not None:
            yield from _slot(slot, declared)
        nested = _record(declared)
        if nested and slot not in _WHOLE:
            yield from _parts(nested, constants, f"{name}.")
        elif slot is None:
            message = f"field {name} of the schema has no place in the envelope"
            raise ValueError(message)


_WHOLE: Final = (Slot.BEFORE, Slot.AFTER, Slot.MESSAGE)
"""The slots that are filled with a whole record."""


def _slot(slot: Slot, declared: object) -> Iterator[bytes | Slot]:
    if isinstance(declared, list):
        if slot not in NULLABLE:
            yield _branch(declared, null=False)
        elif _branch(declared, null=True) != varint(0):
            message = f"field {slot} must be a union that begins with null"
            raise ValueError(message)
    yield slot


def _constant(declared: object, value: str | None) -> bytes:
    branch = _branch(declared, null=value is None) if isinstance(declared, list) else b""
    return branch + (b"" if value is None else encode_string(value))


def _branch(union: list[object], *, null: bool) -> bytes:
    """Return the bytes that select a branch of a union of null and one other type."""
    number = next(at for at, branch in enumerate(union) if (branch == "null") is null)
    return varint(number << 1)


def _record(declared: object) -> Schema | None:
    """Return the record that a field holds, alone or in a union."""
    branches = declared if isinstance(declared, list) else [declared]
    found = [b for b in branches if isinstance(b, dict) and b.get("type") == "record"]
    return found[0] if found else None
