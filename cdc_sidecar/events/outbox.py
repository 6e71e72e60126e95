"""The transactional outbox: rows inserted there become events on topics of their own type.

Columns are Debezium's (its "Outbox Event Router"); the wire is the contract's "Outbox wire": the
key Avro `"string"`, the value the payload as Avro `"string"` or `"bytes"`, or raw.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cdc_sidecar.config.model import Outbox
from cdc_sidecar.errors import (
    OutboxUnroutable,
    ProtocolViolation,
    RecordTooLarge,
    Unrepresentable,
)
from cdc_sidecar.events.binary import encode_bytes
from cdc_sidecar.events.envelope import SourceTransaction
from cdc_sidecar.events.names import MAX_TOPIC_LENGTH, topic_part
from cdc_sidecar.events.schema import BYTES, STRING, wire_prefix
from cdc_sidecar.events.subjects import Subjects
from cdc_sidecar.events.table import OLD, TopicFacts
from cdc_sidecar.events.transcode import columns_of
from cdc_sidecar.events.values import encode_bytea
from cdc_sidecar.postgres.pgoutput import UNCHANGED, Relation
from cdc_sidecar.postgres.types import Builtin, LayoutFacts, TypeFacts

_NO_TOPICS = frozenset({"", ".", ".."})
_OVERHEAD = 1024  # bytes: record batch header, framing and our headers, generously


def find_columns(relation: Relation, config: Outbox) -> dict[str, int]:
    """Return the place of each outbox column that the relation has, by its role."""
    places = {column.name: place for place, column in enumerate(relation.columns)}
    roles = config.columns.model_dump()
    return {role: places[name] for role, name in roles.items() if name in places}


def outbox_mistakes(relation: Relation, facts: LayoutFacts, config: Outbox) -> list[str]:
    """Return what keeps this relation from being the configured outbox."""
    places = find_columns(relation, config)
    roles = config.columns.model_dump()
    mistakes = [
        f"{config.table}: outbox column {name} ({role}) does not exist or is not published"
        for role, name in roles.items()
        if role not in places and role != "traceparent"
    ]
    if "payload" in places and not _is_payload(facts.types[places["payload"]]):
        mistakes.append(
            f"{config.table}: payload column {config.columns.payload} must be text, json, jsonb"
            " or bytea"
        )
    return mistakes


def _is_payload(facts: TypeFacts | None) -> bool:
    return facts is not None and _root(facts) in _PAYLOADS


def _root(facts: TypeFacts) -> int:
    return _root(facts.base) if facts.base else facts.oid


_PAYLOADS = frozenset(
    kind.value
    for kind in (Builtin.TEXT, Builtin.VARCHAR, Builtin.JSON, Builtin.JSONB, Builtin.BYTEA)
)


@dataclass(frozen=True, slots=True)
class Route:
    """Where the events of one aggregate type go, and what their keys and values begin with."""

    topic: str
    key_prefix: bytes
    value_prefix: bytes
    limit: int  # bytes of a record


class OutboxTable:
    """The sink of one relation version of an outbox table."""

    def __init__(
        self,
        relation: Relation,
        config: Outbox,
        facts: LayoutFacts,
        subjects: Subjects,
        topic_facts: Callable[[str], TopicFacts],
        counts: Counter[tuple[str, str]],
    ) -> None:
        self._config = config
        self._width = len(relation.columns)
        self._places = find_columns(relation, config)
        self._subjects = subjects
        self._topic_facts = topic_facts
        self._counts = counts
        self._routes: dict[bytes, Route] = {}  # by aggregate type
        payload = facts.types[self._places["payload"]]
        binary = payload is not None and _root(payload) == Builtin.BYTEA.value
        self._value_schema, self._encode = _FORMS[config.payload == "raw", binary]

    def insert(self, transaction: SourceTransaction, frame: bytes, _lsn: int) -> None:
        """Publish the row as an event of its aggregate type."""
        row = self._read(frame)
        aggregatetype = self._required(row, "aggregatetype")
        route = self._routes.get(aggregatetype) or self._open_route(aggregatetype)
        key = route.key_prefix + encode_bytes(self._required(row, "aggregateid"))
        headers = [
            ("id", self._required(row, "id")),
            ("type", self._required(row, "type")),
        ]
        trace = row.get("traceparent")
        if trace is not None:
            headers.append(("traceparent", trace))
        payload = row["payload"]
        value = None if payload is None else route.value_prefix + self._encode(payload)
        size = len(key) + len(value or b"") + sum(len(text) for _, text in headers)
        if size > route.limit:
            raise RecordTooLarge(
                f"{size} bytes, but topic {route.topic} takes {route.limit}",
                hint=f"raise max.message.bytes of topic {route.topic}",
            )
        self._counts[self._config.table, "outbox"] += 1
        transaction.add((route.topic, value, key, -1, None, None, 0, headers), size)

    def update(self, _transaction: SourceTransaction, _frame: bytes, _lsn: int) -> None:
        """Count an update: an event that was published cannot be changed."""
        self._counts[self._config.table, "outbox_update"] += 1

    def delete(self, _transaction: SourceTransaction, _frame: bytes, _lsn: int) -> None:
        """Ignore a delete: it prunes what was published."""

    def truncate(self, _transaction: SourceTransaction, _lsn: int) -> None:
        """Ignore a truncate: it prunes what was published."""

    def _read(self, frame: bytes) -> dict[str, bytes | None]:
        """Return what stands in the columns that have a role."""
        columns, end = columns_of(frame, OLD)
        if end != len(frame) or len(columns) != self._width:
            raise ProtocolViolation(f"row message of {end} bytes does not fit its relation")
        row: dict[str, bytes | None] = {}
        for role, place in self._places.items():
            column = columns[place]
            if column is UNCHANGED:
                raise Unrepresentable(
                    f"a value that the server did not send, in column {role}",
                    cause="a row filter of the publication made an INSERT of an UPDATE",
                    hint="publish the outbox without a row filter",
                )
            row[role] = column
        return row

    def _required(self, row: dict[str, bytes | None], role: str) -> bytes:
        value = row[role]
        if value is None:
            name = getattr(self._config.columns, role)
            raise OutboxUnroutable(
                f"column {name} is NULL",
                hint=f"make {name} NOT NULL; the row cannot be published",
            )
        return value

    def _open_route(self, aggregatetype: bytes) -> Route:
        part = topic_part(aggregatetype.decode())
        topic = self._config.topic.replace("{aggregatetype}", part)
        if len(topic) > MAX_TOPIC_LENGTH or topic in _NO_TOPICS:
            raise OutboxUnroutable(
                f"an aggregate type of {len(aggregatetype)} bytes makes no topic name",
                hint=f'keep topic names within 1 to {MAX_TOPIC_LENGTH} characters, not "." or ".."',
            )
        key, value = self._prefix(f"{topic}-key", STRING), b""
        if self._value_schema:
            value = self._prefix(f"{topic}-value", self._value_schema)
        limit = self._topic_facts(topic).max_message_bytes - _OVERHEAD
        route = self._routes[aggregatetype] = Route(topic, key, value, limit)
        return route

    def _prefix(self, subject: str, schema: str) -> bytes:
        return wire_prefix(self._subjects.register(subject, schema))


def _keep(text: bytes) -> bytes:
    return text


def _unhex(text: bytes) -> bytes:
    return bytes.fromhex(text[2:].decode())


_FORMS: Final[dict[tuple[bool, bool], tuple[str | None, Callable[[bytes], bytes]]]] = {
    (True, True): (None, _unhex),
    (True, False): (None, _keep),
    (False, True): (BYTES, encode_bytea),
    (False, False): (STRING, encode_bytes),
}
"""A payload's schema and how it becomes bytes, by whether it is raw and whether it is binary."""
