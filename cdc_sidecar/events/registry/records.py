"""The records of the schemas topic: the one place that encodes and decodes them.

The topic is compacted, with one key for each subject version (`<subject>/<version>`) and one for
each relation layout (`layout/<digest>`), each captured table (`layout/table/<oid>`) and the
snapshot of each table (`snapshot/<oid>`). Records `topic/<name>` are written and read by
`cdc_sidecar.kafka.ledger`.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from cdc_sidecar.errors import SchemasUnreadable
from cdc_sidecar.events.schema import SchemaId, schema_id
from cdc_sidecar.events.snapshot.progress import SnapshotPhase
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.types import LayoutFacts, Membership

SchemaRecord = tuple[bytes, bytes]
"""Key and value of a record of the schemas topic."""

RECORD_VERSION: Final = 1
"""The `v` of every record; a record with another one was written by a later version."""

LAYOUT: Final = "layout"
"""What the key of a relation layout's record begins with."""

SNAPSHOT: Final = "snapshot"
"""What the key of the record of a table's snapshot begins with."""

_DIGEST_LENGTH: Final = 32
"""Hexadecimal digits of a layout's digest: 128 bits make an accidental clash impossible."""

_FACTS = TypeAdapter(LayoutFacts)
_MEMBERSHIP = TypeAdapter(Membership)
_TEXT = TypeAdapter(str)


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """One version of a subject; `schema` is canonical JSON."""

    subject: str
    version: int
    id: SchemaId
    schema: str


@dataclass(frozen=True, slots=True)
class StoredLayout:
    """The catalog's facts about one relation layout, under the digest of that layout."""

    digest: str
    table: str
    facts: LayoutFacts


@dataclass(frozen=True, slots=True)
class KnownTable:
    """A captured table as a session examined it."""

    oid: int
    name: str  # `schema.table`
    layout: str  # the digest of its layout
    key: tuple[str, ...]  # the columns of its key, in order
    membership: Membership
    since: int = 0  # transactions below it may have written rows before the table was captured


@dataclass(frozen=True, slots=True)
class TableSnapshot:
    """How far the snapshot of a table is; `cursor` and `bound` are row values (I9)."""

    oid: int
    name: str  # `schema.table`
    generation: int
    initial: bool  # it belongs to the first start
    phase: SnapshotPhase
    by: str = ""  # how it is divided: `ctid` or `key`
    storage: int = 0  # changes if cursor, bound and owed no longer mean what they meant
    columns: tuple[str, ...] = ()  # of the key by which it is divided
    cursor: tuple[str, ...] | None = None  # the last key that is published, or the next page
    bound: tuple[str, ...] | None = None  # the last key or page that there was at the start
    owed: tuple[tuple[str | None, ...], ...] = ()  # rows that must be read again
    rows: int = 0  # published so far
    estimate: int = 0  # of all rows
    error: str = ""  # why it has failed
    where: str = ""  # a condition of SQL: only these rows are sent
    requested: bool = False  # a person has started it
    paused: bool = False
    since: int = 0  # every row that the table has now has had an event at this LSN or later
    rate: int = 0  # rows in a second at most, instead of the configured ones; 0: as configured


def layout_digest(relation: Relation) -> str:
    """Return the digest of a layout: the oid, and each column's name, type, typmod and flags."""
    layout = [
        relation.oid,
        relation.replica_identity.value,
        [[c.name, c.type_oid, c.type_modifier, c.is_key] for c in relation.columns],
    ]
    return hashlib.sha256(json.dumps(layout).encode()).hexdigest()[:_DIGEST_LENGTH]


def encode_version(version: SchemaVersion) -> SchemaRecord:
    """Return the record of a subject version."""
    value = {
        "v": RECORD_VERSION,
        "subject": version.subject,
        "version": version.version,
        "id": version.id,
        "schemaType": "AVRO",
        "schema": version.schema,
    }
    return f"{version.subject}/{version.version}".encode(), _dump(value)


def encode_layout(layout: StoredLayout) -> SchemaRecord:
    """Return the record of a relation layout."""
    value = {
        "v": RECORD_VERSION,
        "table": layout.table,
        "facts": _FACTS.dump_python(layout.facts, mode="json"),
    }
    return f"{LAYOUT}/{layout.digest}".encode(), _dump(value)


def encode_table(table: KnownTable) -> SchemaRecord:
    """Return the record of a captured table."""
    value = {
        "v": RECORD_VERSION,
        "table": table.name,
        "layout": table.layout,
        "key": table.key,
        "membership": _MEMBERSHIP.dump_python(table.membership, mode="json"),
        **({"since": table.since} if table.since else {}),
    }
    return f"{LAYOUT}/table/{table.oid}".encode(), _dump(value)


_SNAPSHOT = TypeAdapter(TableSnapshot)


def encode_snapshot(snapshot: TableSnapshot) -> SchemaRecord:
    """Return the record of a table's snapshot."""
    value = _SNAPSHOT.dump_python(snapshot, mode="json", exclude_defaults=True)
    return f"{SNAPSHOT}/{snapshot.oid}".encode(), _dump({"v": RECORD_VERSION, **value})


Decoded = SchemaVersion | StoredLayout | KnownTable | TableSnapshot
"""What a record of the schemas topic says."""


def decode_schema_record(key: bytes, value: bytes) -> Decoded | None:
    """Decode a record of the schemas topic; None for a record of the ledger.

    Raises:
        SchemasUnreadable: the record is of another version, or malformed.

    """
    with parsed(key, value) as record:
        name, _, last = key.decode().rpartition("/")
        return None if name == "topic" else _decode(name, last, record)


@contextmanager
def parsed(key: bytes, value: bytes) -> Iterator[Any]:
    """Yield the JSON of a record's value, and refuse a record from which its reader fails.

    Raises:
        SchemasUnreadable: the record is of another version, or malformed.

    """
    try:
        record = json.loads(value)
        version = record["v"]
        if version == RECORD_VERSION:
            yield record
            return
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise SchemasUnreadable(
            f"record with key {key!r} is malformed",
            cause="another program wrote to the topic of the schemas",
            hint="stop that program, then remove the record: write one with the same key and"
            " without a value to the topic, _cdc.<service>.schemas",
        ) from error
    raise SchemasUnreadable(
        f"record with key {key!r} has version {version}",
        cause="a newer version of the sidecar wrote it",
        hint="run the newer version of the sidecar",
    )


def _decode(
    name: str,
    last: str,
    record: Any,  # noqa: ANN401 - JSON
) -> Decoded:
    if name == SNAPSHOT:
        return _SNAPSHOT.validate_python(record, strict=False)
    if "membership" in record:
        membership = _MEMBERSHIP.validate_python(record["membership"], strict=False)
        key = tuple(str(column) for column in record["key"])
        since = int(record.get("since", 0))
        names = str(record["table"]), str(record["layout"])
        return KnownTable(int(last), *names, key, membership, since)
    if "facts" in record:
        facts = _FACTS.validate_python(record["facts"], strict=False)
        return StoredLayout(last, str(record.get("table", "")), facts)
    schema = _TEXT.validate_python(record["schema"])
    return SchemaVersion(name, int(last), schema_id(schema), schema)


def _dump(value: dict[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
