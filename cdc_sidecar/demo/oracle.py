"""The oracle: the events that must arrive, read from a second slot by Postgres itself.

The slot `oracle` shares only the publication with the sidecar. Of the sidecar's code, it uses only
the decoder of the wire (`postgres.pgoutput`). Keys, order and rows come from code of its own.
"""

from collections.abc import Iterator
from typing import Final

import psycopg

from cdc_sidecar.demo.shop import KEYS, OUTBOX_TABLE, PUBLICATION, key_of, topic_of
from cdc_sidecar.demo.verdict import OUTBOX, TOMBSTONE, Event, Row
from cdc_sidecar.postgres.pgoutput import (
    Begin,
    Delete,
    Insert,
    Relation,
    TupleData,
    Unchanged,
    Update,
    decode,
)

SLOT: Final = "oracle"
_CREATE: Final = "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')"
_READ: Final = """
SELECT data FROM pg_logical_slot_get_binary_changes(
    %s, NULL, NULL, 'proto_version', '1', 'publication_names', %s)
"""


class Oracle:
    """Reads the events committed since its last read; only one thread may use it."""

    def __init__(self, dsn: str) -> None:
        """Connect and create the slot. Events are expected from the next commit on."""
        self._connection = psycopg.connect(
            dsn, autocommit=True, options="-c timezone=UTC -c datestyle=ISO"
        )
        self._connection.execute(_CREATE, [SLOT])
        self._relations: dict[int, Relation] = {}
        self._commit_lsn = 0
        self._order = 0

    def close(self) -> None:
        """Close the connection. The slot stays until the server is removed."""
        self._connection.close()

    def read(self) -> list[Event]:
        """Return the events of every transaction committed since the last read."""
        cursor = self._connection.cursor(binary=True)
        rows = cursor.execute(_READ, [SLOT, PUBLICATION]).fetchall()
        return [event for (message,) in rows for event in self._events(message)]

    def _events(self, message: bytes) -> Iterator[Event]:
        match decode(message):
            case Begin() as begin:
                self._commit_lsn, self._order = begin.final_lsn, 0
            case Relation() as relation:
                self._relations[relation.oid] = relation
            case Insert(oid, new):
                yield from self._insert(self._relations[oid], new)
            case Update(oid, _, old, new):
                yield from self._update(self._relations[oid], old, new)
            case Delete(oid, _, old):
                yield from self._delete(self._relations[oid], old)
            case _:
                pass  # Commit, Origin and Type make no event

    def _insert(self, relation: Relation, new: TupleData) -> Iterator[Event]:
        row, _ = _row(relation, new)
        if relation.qualified_name == OUTBOX_TABLE:
            yield _outbox_event(row)
        else:
            yield self._event(relation, "c", _key(relation, row), after=row)

    def _update(self, relation: Relation, old: TupleData | None, new: TupleData) -> Iterator[Event]:
        if relation.qualified_name == OUTBOX_TABLE:
            return
        before = None if old is None else _row(relation, old)[0]
        after, unchanged = _row(relation, new, before if _is_full(relation) else None)
        key = _key(relation, after)
        if before is None or _key(relation, before) == key:
            yield self._event(relation, "u", key, before, after, unchanged)
        else:
            yield from self._delete_row(relation, before)
            yield self._event(relation, "c", key, None, after, unchanged)

    def _delete(self, relation: Relation, old: TupleData) -> Iterator[Event]:
        if relation.qualified_name != OUTBOX_TABLE:
            yield from self._delete_row(relation, _row(relation, old)[0])

    def _delete_row(self, relation: Relation, before: Row) -> Iterator[Event]:
        key = _key(relation, before)
        yield self._event(relation, "d", key, before)
        yield Event(topic_of(relation.qualified_name), key, TOMBSTONE, TOMBSTONE)

    def _event(
        self,
        relation: Relation,
        op: str,
        key: str,
        before: Row | None = None,
        after: Row | None = None,
        unchanged: tuple[str, ...] = (),
    ) -> Event:
        self._order += 1
        identity = f"{self._commit_lsn}/{self._order}"
        return Event(topic_of(relation.qualified_name), key, identity, op, before, after, unchanged)


def _outbox_event(row: Row) -> Event:
    after = {"type": row["type"], "payload": row["payload"]}
    topic = f"outbox.event.{row['aggregatetype']}"
    return Event(topic, key_of([row["aggregateid"]]), str(row["id"]), OUTBOX, after=after)


def _is_full(relation: Relation) -> bool:
    return relation.replica_identity.value == "f"


def _key(relation: Relation, row: Row) -> str:
    return key_of([row[name] for name in KEYS[relation.qualified_name]])


def _row(
    relation: Relation, data: TupleData, old: Row | None = None
) -> tuple[Row, tuple[str, ...]]:
    """Return the row and the columns that were not sent; the old row, if any, fills these."""
    columns = [column.name for column in relation.columns]
    absent = [name for name, value in zip(columns, data, strict=True) if _is_absent(value)]
    row = {name: _text(value) for name, value in zip(columns, data, strict=True)}
    if old is None:
        return row, tuple(absent)
    return {**row, **{name: old[name] for name in absent}}, ()


def _is_absent(value: object) -> bool:
    return isinstance(value, Unchanged)


def _text(value: bytes | Unchanged | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else None
