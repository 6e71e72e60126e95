"""The expected events, read from a second slot, and the published events, read from Kafka.

The oracle reads the same WAL through a second slot, with SQL, and derives the events from Postgres'
messages. Of the sidecar's code it uses only the decoder of the wire, none of its transcoding,
batching or skipping.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
from confluent_kafka import Consumer, KafkaError, TopicPartition

from cdc_sidecar.events.reader import EventReader
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.postgres.pgoutput import (
    UNCHANGED,
    Begin,
    Delete,
    Insert,
    Relation,
    TupleData,
    Update,
    decode,
)

Row = dict[str, str | None]
Place = tuple[str, int]
Records = list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]]


@dataclass(frozen=True, slots=True)
class Event:
    """One record. A tombstone has neither op nor identity."""

    topic: str
    key: str
    op: str | None
    identity: str | None  # commit LSN / total order
    after: str | None  # JSON of the row's texts


class Oracle:
    """A second slot on the same publication, made before anything is written."""

    def __init__(self, dsn: str, service: str, slot: str) -> None:
        self._dsn = dsn
        self._service = service
        self._slot = slot
        self._relations: dict[int, Relation] = {}
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))

    def expected(self) -> list[Event]:
        """Return all events since the slot was made, in order."""
        events: list[Event] = []
        commit_lsn = order = 0
        for message in self._messages():
            match message:
                case Begin():
                    commit_lsn, order = message.final_lsn, 0
                case Relation():
                    self._relations[message.oid] = message
                case Insert() | Update() | Delete():
                    for op, key, after in self._changes(message):
                        order += op is not None
                        identity = f"{commit_lsn}/{order}" if op else None
                        topic = self._topic(message.relation_oid)
                        events.append(Event(topic, key, op, identity, after))
                case _:
                    pass
        return events

    def _messages(self) -> Iterable[object]:
        query = (
            "SELECT data FROM pg_logical_slot_peek_binary_changes(%s, NULL, NULL,"
            " 'proto_version', '1', 'publication_names', 'cdc', 'messages', 'true')"
        )
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            return [decode(bytes(data)) for (data,) in connection.execute(query, (self._slot,))]

    def _topic(self, oid: int) -> str:
        relation = self._relations[oid]
        return f"{self._service}.{relation.namespace}.{relation.name}"

    def _changes(
        self, message: Insert | Update | Delete
    ) -> list[tuple[str | None, str, str | None]]:
        oid = message.relation_oid
        match message:
            case Insert():
                return [("c", self._key(oid, message.new), self._row(oid, message.new))]
            case Delete():
                key = self._key(oid, message.old)
                return [("d", key, None), (None, key, None)]
            case Update():
                new = self._key(oid, message.new)
                old = new if message.old is None else self._key(oid, message.old)
                row = self._row(oid, message.new)
                if old == new:
                    return [("u", new, row)]
                return [("d", old, None), (None, old, None), ("c", new, row)]

    def _key(self, oid: int, data: TupleData) -> str:
        columns = self._relations[oid].columns
        pairs = zip(columns, data, strict=True)
        return _dump({c.name: _text(value) for c, value in pairs if c.is_key})

    def _row(self, oid: int, data: TupleData) -> str:
        columns = self._relations[oid].columns
        return _dump({c.name: _text(value) for c, value in zip(columns, data, strict=True)})


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode()
    assert value is None or value is UNCHANGED
    return None


def _dump(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def read_topics(
    kafka: str, topics: Iterable[str], isolation: str = "read_committed"
) -> dict[Place, Records]:
    """Return key, value and headers of each record that a consumer sees, by partition."""
    consumer = Consumer({
        "bootstrap.servers": kafka, "group.id": "tests", "enable.auto.commit": False,
        "isolation.level": isolation, "enable.partition.eof": True,
        "auto.offset.reset": "earliest", "fetch.wait.max.ms": 20,
    })  # fmt: skip
    places: list[Place] = []
    for topic in topics:
        listed = consumer.list_topics(topic, timeout=20).topics[topic]
        places += [(topic, number) for number in listed.partitions] if not listed.error else []
    records: dict[Place, Records] = {place: [] for place in places}
    if places:
        consumer.assign([TopicPartition(topic, number, 0) for topic, number in places])
    ended: set[Place] = set()
    while len(ended) < len(places):
        message = consumer.poll(20.0)
        assert message is not None, "the brokers do not answer"
        place = (str(message.topic()), int(message.partition() or 0))
        error = message.error()
        if error is None:
            headers: Any = message.headers() or []
            records[place].append((message.key(), message.value(), headers))
        else:
            assert error.code() == KafkaError._PARTITION_EOF, error.str()  # noqa: SLF001 - its name
            ended.add(place)
    consumer.close()
    return records


def read_registry(kafka: str, service: str) -> EventReader:
    """Return a reader with the schemas of a service's schemas topic."""
    subjects = Subjects()
    for records in read_topics(kafka, [f"_cdc.{service}.schemas"]).values():
        for key, value, _ in records:
            assert key is not None
            assert value is not None
            subjects.load(key, value)
    return EventReader(subjects.schema)


def read_events(
    kafka: str, service: str, topics: Iterable[str], isolation: str = "read_committed"
) -> dict[Place, list[Event]]:
    """Return the decoded events of table topics by partition."""
    reader = read_registry(kafka, service)
    return {
        place: [_event(reader, place[0], key, value) for key, value, _ in records]
        for place, records in read_topics(kafka, topics, isolation).items()
    }


def _event(reader: EventReader, topic: str, key: bytes | None, value: bytes | None) -> Event:
    spelled = _dump(_texts(reader.read(key))) if key is not None else "null"
    if value is None:
        return Event(topic, spelled, None, None, None)
    event = reader.read(value)
    identity = f"{event['source']['commit_lsn']}/{event['transaction']['total_order']}"
    after = None if event["after"] is None else _dump(_texts(event["after"]))
    return Event(topic, spelled, event["op"], identity, after)


def _texts(row: dict[str, Any]) -> dict[str, str | None]:
    return {name: None if value is None else str(value) for name, value in row.items()}


def count_differences(expected: list[Event], seen: dict[Place, list[Event]]) -> tuple[int, int]:
    """Return the number of missing events and the number of surplus events."""
    wanted = Counter(expected)
    found = Counter(event for events in seen.values() for event in events)
    return (wanted - found).total(), (found - wanted).total()


def assert_same_events(expected: list[Event], seen: dict[Place, list[Event]]) -> None:
    """Check that every partition holds exactly the expected events of its keys, in order."""
    home = {(event.topic, event.key): place for place, events in seen.items() for event in events}
    lost = [event for event in expected if (event.topic, event.key) not in home]
    assert not lost, f"{len(lost)} of {len(expected)} events lost, the first: {lost[0]}"
    for place, events in seen.items():
        wanted = [event for event in expected if home[event.topic, event.key] == place]
        if events != wanted:
            pairs = enumerate(zip(wanted, events, strict=False))
            first = next((pair for pair in pairs if pair[1][0] != pair[1][1]), None)
            message = f"{place}: {len(wanted)} expected, {len(events)} seen, first: {first}"
            raise AssertionError(message)
