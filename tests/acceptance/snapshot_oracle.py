"""What each row was at each place of the stream, from a second slot that saw the empty tables."""

import json
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from cdc_sidecar.events.names import table_topic
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
class Compared:
    """A table that is compared with its events."""

    name: str
    key: tuple[str, ...] = ("id",)  # the columns that tell its rows from each other
    rows: str = ""  # a query of the rows that are published; all of them, if it is empty
    loose: bool = False  # columns may have come and gone: a missing one is NULL

    @property
    def query(self) -> str:
        """The query of its rows."""
        name = self.name.replace('"', '""')
        return self.rows or f'SELECT * FROM public."{name}"'


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

    def __init__(self, messages: Iterable[object], table: Compared) -> None:
        self._table = table
        self._states: dict[str, list[tuple[int, Row | None]]] = defaultdict(list)
        self.changes: list[tuple[int, str, str]] = []  # commit LSN, op, key
        relations: dict[int, Relation] = {}
        commit = 0
        for message in messages:
            match message:
                case Begin():
                    commit = message.final_lsn
                case Relation():
                    relations[message.oid] = message
                case Truncate():
                    if any(relations[oid].name == table.name for oid in message.relation_oids):
                        for states in self._states.values():
                            states.append((commit, None))
                case Insert() | Update() | Delete():
                    relation = relations[message.relation_oid]
                    if relation.name == table.name:
                        self._apply(commit, relation, message)
                case _:
                    pass

    def _apply(self, commit: int, relation: Relation, message: Insert | Update | Delete) -> None:
        if isinstance(message, Delete):
            key = self._key(relation, message.old)
            self._states[key].append((commit, None))
            self.changes.append((commit, "d", key))
            return
        key = self._key(relation, message.new)
        old = key
        if isinstance(message, Update) and message.old:
            old = self._key(relation, message.old)
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

    def _key(self, relation: Relation, data: TupleData) -> str:
        names = [column.name for column in relation.columns]
        return _dump({name: _text(data[names.index(name)]) for name in self._table.key})

    def _last(self, key: str) -> Row | None:
        states = self._states[key]
        return states[-1][1] if states else None

    def at(self, key: str, lsn: int) -> Row | None:
        """Return a row as it was after the transactions that were committed before `lsn`."""
        states = self._states[key]
        place = bisect_left(states, lsn, key=lambda state: state[0])
        return states[place - 1][1] if place else None


def read_seen(service: Service, *tables: Compared) -> list[list[Seen]]:
    """Return the published events of each table in the order of the stream."""
    reader = read_registry(service.kafka, service.name)
    topics = {table_topic(service.name, "public", table.name): table for table in tables}
    found: dict[str, list[Seen]] = {topic: [] for topic in topics}
    for (topic, _), records in read_topics(service.kafka, topics).items():
        for _, value, _ in records:
            if value is not None:
                found[topic].append(_seen(reader.read(value), topics[topic]))
    return [
        sorted(events, key=lambda each: (each.commit_lsn, each.order)) for events in found.values()
    ]


def _seen(event: Row, table: Compared) -> Seen:
    row = event["after"] or event["before"] or {}
    return Seen(
        event["source"]["commit_lsn"],
        event["transaction"]["total_order"],
        event["op"],
        _dump({name: str(row.get(name)) for name in table.key}),
        {_unescape(name): value for name, value in row.items()} if event["after"] else None,
        frozenset(map(_unescape, event["unchanged"])),
        event["source"]["snapshot"],
    )


def count_rows(service: Service, table: str = "") -> float:
    """Return how many rows of snapshots, or of one, this process has published."""
    lines = service.sidecar.scrape().splitlines()
    counts = [line for line in lines if line.startswith('cdc_sidecar_events_total{op="r"')]
    counts = [line for line in counts if f'public.{table}"' in line or not table]
    return sum(float(line.rpartition(" ")[2]) for line in counts)


def assert_snapshots(service: Service, oracle: Oracle, *tables: Compared) -> list[list[Seen]]:
    """Check every `r` against the state at its place, and the end against the table.

    A reader that takes an event as it is, and leaves unchanged columns as they were, has the whole
    table in the end. Return the events.
    """
    messages = list(oracle._messages())  # noqa: SLF001 - the same slot
    found = read_seen(service, *tables)
    for table, seen in zip(tables, found, strict=True):
        _assert_events(History(messages, table), seen, table)
        names, rows = _table(service, table)
        replica = _replica(seen)
        if table.loose:
            replica = {
                k: {n: v for n, v in row.items() if n in names} for k, row in replica.items()
            }
        replica = {k: _texts(row, table) or {} for k, row in replica.items()}
        wrong = [key for key in rows.keys() | replica if rows.get(key) != replica.get(key)]
        assert not wrong, f"{table.name}: {wrong}, such as {_tell(seen, wrong[0])}"
    return found


def assert_snapshot(service: Service, oracle: Oracle, table: str) -> list[Seen]:
    """Check one table whose key is `id`; see `assert_snapshots`."""
    return assert_snapshots(service, oracle, Compared(table))[0]


def _assert_events(history: History, seen: list[Seen], table: Compared) -> None:
    for event in seen:
        if event.op == "r":
            state = history.at(event.key, event.commit_lsn)
            if table.loose and state:
                state = {name: state[name] for name in state if name in (event.after or {})}
            assert _texts(event.after, table) == _texts(state, table), (table.name, event)
    first = min((event.commit_lsn for event in seen), default=0)
    streamed = Counter((e.commit_lsn, e.op, e.key) for e in seen if e.op in "cud")
    assert streamed == Counter(change for change in history.changes if change[0] >= first)
    rows = [event for event in seen if event.op != "t"]  # each partition has a copy of a `t`
    assert len({(event.commit_lsn, event.order) for event in rows}) == len(rows)


def _tell(seen: list[Seen], key: str) -> str:
    """Return the events of a row, without large values."""
    events = (replace(each, after=None) for each in seen if each.key == key)
    return "\n".join(map(str, events))


def _replica(seen: list[Seen]) -> dict[str, Row]:
    """Return what a reader has in the end.

    After the last `r` it must take the unchanged values of a new key from the row before it, as
    without a snapshot; until then it need not.
    """
    rows: dict[str, Row] = {}
    last = max((event.commit_lsn for event in seen if event.op == "r"), default=0)
    moved: Row = {}
    for event in seen:
        if event.op == "t":
            rows.clear()
        elif event.after is None:
            row = rows.pop(event.key, {})
            moved = row if event.commit_lsn > last else {}
        else:
            row = rows.setdefault(event.key, {n: moved[n] for n in event.unchanged & moved.keys()})
            row |= {k: v for k, v in event.after.items() if k not in event.unchanged}
    return rows


def _table(service: Service, table: Compared) -> tuple[list[str], dict[str, Row]]:
    """Return the columns of a table, and its rows by key."""
    with psycopg.connect(service.dsn, autocommit=True) as connection:
        cursor = connection.execute(table.query.encode())
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
    return names, {
        _dump({name: str(row[name]) for name in table.key}): _texts(row, table) or {}
        for row in rows
    }


def _unescape(name: str) -> str:
    """Return the name of a column from that of its field."""
    return re.sub("_x([0-9A-F]{4})_", lambda match: chr(int(match[1], 16)), name)


def _text(value: object) -> str | None:
    return value.decode() if isinstance(value, bytes) else None


def _texts(row: Row | None, table: Compared) -> Row | None:
    if row is None:
        return None
    return {
        name: None if value is None else str(value)
        for name, value in row.items()
        if value is not None or not table.loose
    }


def _dump(value: Row) -> str:
    return json.dumps(value, sort_keys=True)
