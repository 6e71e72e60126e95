"""What each row was at each place of the stream, from a second slot that saw the empty tables."""

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import psycopg

from cdc_sidecar.postgres.pgoutput import (
    UNCHANGED,
    Begin,
    Delete,
    Insert,
    Relation,
    Truncate,
    TupleData,
    Update,
)
from tests.acceptance.conftest import Service
from tests.acceptance.events import Oracle, read_registry, read_topics

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """One published event of a table."""

    commit_lsn: int
    order: int
    op: str
    key: str
    after: Row | None
    unchanged: frozenset[str]
    snapshot: str


class History:
    """Every state of every row of one table, by key."""

    def __init__(self, oracle: Oracle, table: str) -> None:
        self._states: dict[str, list[tuple[int, Row | None]]] = defaultdict(list)
        self.changes: list[tuple[int, str, str]] = []  # commit LSN, op, key
        relations: dict[int, Relation] = {}
        commit = 0
        for message in oracle._messages():  # noqa: SLF001 - the same slot
            match message:
                case Begin():
                    commit = message.final_lsn
                case Relation():
                    relations[message.oid] = message
                case Truncate():
                    if any(relations[oid].name == table for oid in message.relation_oids):
                        for states in self._states.values():
                            states.append((commit, None))
                case Insert() | Update() | Delete():
                    relation = relations[message.relation_oid]
                    if relation.name == table:
                        self._apply(commit, relation, message)
                case _:
                    pass

    def _apply(self, commit: int, relation: Relation, message: Insert | Update | Delete) -> None:
        if isinstance(message, Delete):
            key = _key(relation, message.old)
            self._states[key].append((commit, None))
            self.changes.append((commit, "d", key))
            return
        key = _key(relation, message.new)
        old = _key(relation, message.old) if isinstance(message, Update) and message.old else key
        before = self._last(old) or {}
        row = {
            column.name: before.get(column.name) if value is UNCHANGED else _text(value)
            for column, value in zip(relation.columns, message.new, strict=True)
        }
        if old != key:
            self._states[old].append((commit, None))
            self.changes.append((commit, "d", old))
        self._states[key].append((commit, row))
        moved = isinstance(message, Insert) or old != key
        self.changes.append((commit, "c" if moved else "u", key))

    def _last(self, key: str) -> Row | None:
        states = self._states[key]
        return states[-1][1] if states else None

    def at(self, key: str, lsn: int) -> Row | None:
        """Return a row as it was after the transactions that were committed before `lsn`."""
        states = self._states[key]
        place = bisect_left(states, lsn, key=lambda state: state[0])
        return states[place - 1][1] if place else None


def read_seen(service: Service, table: str) -> list[Seen]:
    """Return the published events of a table in the order of the stream."""
    reader = read_registry(service.kafka, service.name)
    found = []
    for records in read_topics(service.kafka, service.topics(table)).values():
        for key, value, _ in records:
            if value is None:
                continue
            event = reader.read(value)
            assert key is not None
            found.append(
                Seen(
                    event["source"]["commit_lsn"],
                    event["transaction"]["total_order"],
                    event["op"],
                    _dump({name: str(part) for name, part in reader.read(key).items()}),
                    event["after"],
                    frozenset(event["unchanged"]),
                    event["source"]["snapshot"],
                )
            )
    return sorted(found, key=lambda event: (event.commit_lsn, event.order))


def assert_snapshot(service: Service, oracle: Oracle, table: str, key: str = "id") -> list[Seen]:
    """Check every `r` against the state at its place, and the end against the table.

    A reader that takes an event as it is, and leaves unchanged columns as they were, has the whole
    table in the end. Return the events.
    """
    history, seen = History(oracle, table), read_seen(service, table)
    for event in seen:
        if event.op == "r":
            assert _texts(event.after) == history.at(event.key, event.commit_lsn), event
    first = min((event.commit_lsn for event in seen), default=0)
    streamed = Counter((e.commit_lsn, e.op, e.key) for e in seen if e.op in "cud")
    assert streamed == Counter(change for change in history.changes if change[0] >= first)
    assert len({(event.commit_lsn, event.order) for event in seen}) == len(seen)
    assert _replica(seen) == _table(service, table, key)
    return seen


def _replica(seen: list[Seen]) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for event in seen:
        if event.after is None:
            rows.pop(event.key, None)
            continue
        row = rows.setdefault(event.key, {})
        row |= {k: v for k, v in (_texts(event.after) or {}).items() if k not in event.unchanged}
    return rows


def _table(service: Service, table: str, key: str) -> dict[str, Row]:
    with psycopg.connect(service.dsn, autocommit=True) as connection:
        cursor = connection.execute(f"SELECT * FROM {table}".encode())
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
    names_of_key = key.split(",")
    return {
        _dump({name: str(row[name]) for name in names_of_key}): _texts(row) or {} for row in rows
    }


def _key(relation: Relation, data: TupleData) -> str:
    pairs = zip(relation.columns, data, strict=True)
    return _dump({column.name: _text(value) for column, value in pairs if column.is_key})


def _text(value: object) -> str | None:
    return value.decode() if isinstance(value, bytes) else None


def _texts(row: Row | None) -> Row | None:
    if row is None:
        return None
    return {name: None if value is None else str(value) for name, value in row.items()}


def _dump(value: Row) -> str:
    return json.dumps(value, sort_keys=True)
