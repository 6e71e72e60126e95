"""The transactional outbox: rows inserted there become events on topics of their own type.

The columns are those of Debezium's "Outbox Event Router". The wire is the contract's "Outbox wire":
a key is an Avro `"string"`, and a value is the payload, as an Avro `"string"` or `"bytes"`, or raw.
"""

from collections.abc import Callable
from typing import Final

from cdc_sidecar.config.model import Outbox
from cdc_sidecar.errors import OutboxUnroutable, ProtocolViolation, Unrepresentable
from cdc_sidecar.events.binary import encode_bytes
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.names import MAX_TOPIC_LENGTH, topic_part
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.events.schema import BYTES, STRING
from cdc_sidecar.events.transcode import columns_of
from cdc_sidecar.events.values import encode_bytea
from cdc_sidecar.postgres.frames import TUPLE_AT
from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.postgres.pgoutput import UNCHANGED, Relation
from cdc_sidecar.postgres.sql_names import similar
from cdc_sidecar.postgres.types import Builtin, LayoutFacts, TypeFacts

_NO_TOPICS = frozenset({"", ".", ".."})
_OVERHEAD: Final = 1024
"""Bytes kept free below `max.message.bytes`: what `route.BATCH_OVERHEAD` counts, and the names and
lengths of three headers.
"""


def find_columns(relation: Relation, config: Outbox) -> dict[str, int]:
    """Return the place of each outbox column that the relation has, by its role."""
    places = {column.name: place for place, column in enumerate(relation.columns)}
    roles = config.columns.by_role
    return {role: places[name] for role, names in roles.items() for name in names if name in places}


def outbox_mistakes(relation: Relation, facts: LayoutFacts, config: Outbox) -> list[str]:
    """Return the mistakes that keep this relation from being the configured outbox."""
    places = find_columns(relation, config)
    there = {column.name for column in relation.columns}
    mistakes = []
    for role, names in config.columns.by_role.items():
        found = [name for name in names if name in there]
        if len(found) > 1:
            mistakes.append(f"the outbox has each of the columns {' and '.join(found)} ({role})")
        elif not found and role != "traceparent":
            mistakes.append(
                f"outbox column {' or '.join(names)} ({role}) does not exist or is not published"
                + _renamed(names, relation, config, role)
            )
    if "payload" in places:
        mistakes += _payload_mistakes(
            relation.columns[places["payload"]].name, facts.types[places["payload"]], config
        )
    return [f"{config.table}: {mistake}" for mistake in mistakes]


def _renamed(names: tuple[str, ...], relation: Relation, config: Outbox, role: str) -> str:
    """Return a hint that a missing column may have been renamed to one that has no role."""
    known = {name for entry in config.columns.by_role.values() for name in entry}
    others = [column.name for column in relation.columns if column.name not in known]
    if not others:
        return ""
    other = similar(names[0], others) or others[0]
    entry = ", ".join(f'"{name}"' for name in (*names, other))
    return (
        f"; without a role: {', '.join(others)} (a column that was renamed has both names:"
        f" [outboxes.columns] {role} = [{entry}])"
    )


def _payload_mistakes(column: str, facts: TypeFacts | None, config: Outbox) -> list[str]:
    """Return why a payload cannot be sent; `payload_as` decides where its type does not."""
    if facts is None:
        known = f"type of payload column {column} no longer exists"
        cure = 'set payload_as = "text", or "bytes" if it was a domain over bytea'
        return [] if config.payload_as else [f"{known}: {cure}"]
    if config.payload_as == "bytes" and _root(facts) != Builtin.BYTEA.value:
        return [f'payload column {column} must be bytea, because of payload_as = "bytes"']
    if config.payload_as or _root(facts) in _PAYLOADS:
        return []
    cure = 'or set payload_as = "text", which sends what Postgres prints'
    return [f"payload column {column} must be text, json, jsonb or bytea; {cure}"]


def _root(facts: TypeFacts) -> int:
    return _root(facts.base) if facts.base else facts.oid


_PAYLOADS = frozenset(
    kind.value
    for kind in (Builtin.TEXT, Builtin.VARCHAR, Builtin.JSON, Builtin.JSONB, Builtin.BYTEA)
)


class OutboxTable:
    """The sink of one relation version of an outbox table."""

    def __init__(
        self,
        relation: Relation,
        config: Outbox,
        facts: LayoutFacts,
        registry: Registry,
        catalog: Catalog,
    ) -> None:
        self._config = config
        self._width = len(relation.columns)
        self._places = find_columns(relation, config)
        self._names = {role: relation.columns[at].name for role, at in self._places.items()}
        self._registry = registry
        self._catalog = catalog
        self._routes: dict[bytes, TopicRoute] = {}  # by aggregate type
        payload = facts.types[self._places["payload"]]
        binary = config.payload_as == "bytes" or (
            config.payload_as is None
            and payload is not None
            and _root(payload) == Builtin.BYTEA.value
        )
        self._value_schema, self._encode = _FORMS[config.payload == "raw", binary]
        self._event = Count(Counted.EVENTS, config.table, "outbox")
        self._updated = Count(Counted.OUTBOX_UPDATES, config.table)

    def insert(self, transaction: SourceTransaction, frame: bytes) -> None:
        """Add the row as an event of its aggregate type."""
        row = self._read(frame)
        aggregatetype = self._required(row, "aggregatetype", transaction)
        route = self._routes.get(aggregatetype) or self._open_route(aggregatetype)
        key = encode_bytes(self._required(row, "aggregateid", transaction))
        headers = [(role, self._required(row, role, transaction)) for role in ("id", "type")]
        headers.append(("commit_lsn", b"%d" % transaction.final_lsn))
        trace = row.get("traceparent")
        if trace is not None:
            headers.append(("traceparent", trace))
        payload = row["payload"]
        value = None if payload is None else route.value_prefix + self._encode(payload)
        transaction.append(route, value, key, headers)
        transaction.count(self._event)

    def update(self, transaction: SourceTransaction, _frame: bytes) -> None:
        """Count an update: an event that was published cannot be changed."""
        transaction.count(self._updated)

    def delete(self, _transaction: SourceTransaction, _frame: bytes) -> None:
        """Ignore a delete: the service removes rows that are published."""

    def truncate(self, _transaction: SourceTransaction) -> None:
        """Ignore a truncate: the service removes rows that are published."""

    def _read(self, frame: bytes) -> dict[str, bytes | None]:
        """Return the values of the columns that have a role."""
        columns, end = columns_of(frame, TUPLE_AT)
        if end != len(frame) or len(columns) != self._width:
            raise ProtocolViolation(f"row message of {end} bytes does not fit its relation")
        row: dict[str, bytes | None] = {}
        for role, place in self._places.items():
            column = columns[place]
            if column is UNCHANGED:
                raise Unrepresentable(
                    f"a value that the server did not send, in column {role}",
                    cause="a row filter of the publication turned an UPDATE into an INSERT",
                    hint="publish the outbox without a row filter",
                )
            row[role] = column
        return row

    def _required(
        self, row: dict[str, bytes | None], role: str, transaction: SourceTransaction
    ) -> bytes:
        value = row[role]
        if value is None:
            name = self._names[role]
            raise OutboxUnroutable(
                f"column {name} is NULL",
                hint=f"make {name} NOT NULL; no setting publishes this row."
                f" `cdc-sidecar position reset --to {format_lsn(transaction.final_lsn + 1)}` shows"
                " what is left out if its whole transaction is skipped; --yes skips it",
            )
        return value

    def _open_route(self, aggregatetype: bytes) -> TopicRoute:
        part = topic_part(aggregatetype.decode())
        topic = self._config.topic.replace("{aggregatetype}", part)
        if len(topic) > MAX_TOPIC_LENGTH or topic in _NO_TOPICS:
            raise OutboxUnroutable(
                f"an aggregate type of {len(aggregatetype)} bytes does not make a valid topic name",
                hint=f'keep topic names within 1 to {MAX_TOPIC_LENGTH} characters, not "." or ".."',
            )
        schemas = {"key": STRING}
        if self._value_schema:
            schemas["value"] = self._value_schema
        route = TopicRoute.open(topic, schemas, self._registry, self._catalog, overhead=_OVERHEAD)
        self._routes[aggregatetype] = route
        return route


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
"""The schema of a payload and its encoder, by (raw, binary)."""
