"""The router of an outbox: an event's columns become one record, whichever way they came."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from cdc_sidecar.config.outbox import TYPE_VERSION, Outbox
from cdc_sidecar.errors import (
    OutboxEventRefused,
    OutboxUnroutable,
    RecordTooLarge,
    SidecarError,
    TopicMissing,
)
from cdc_sidecar.events.binary import encode_bytes
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.names import MAX_TOPIC_LENGTH, topic_part
from cdc_sidecar.events.outbox.values import OpenValues, values_of
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.record import ANY_PARTITION, NOW
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.events.schema import STRING

Row = Mapping[str, bytes | None]
"""The texts of an event's columns by their roles (`config.outbox.Outbox.wanted`)."""

_NO_TOPICS: Final = frozenset({"", ".", ".."})
_OVERHEAD: Final = 1024
"""Bytes kept free below `max.message.bytes`: what `route.BATCH_OVERHEAD` counts, and the names and
lengths of headers.
"""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PARTITION_DIGITS: Final = 10  # of a 32-bit number
_INTERNAL: Final = ("_cdc.", "__")
"""What the names of topics begin with that are the sidecar's or Kafka's own."""
_ASK_AGAIN: Final = 2_000_000
"""Microseconds between the commit times of events before a missing topic is asked for again: each
question takes milliseconds."""
_MISSING: Final = 1000
"""Missing topics that are remembered: their names come from rows."""
_TRACE: Final = ("traceparent", "tracestate")


class EventRouter:
    """Makes the records of one outbox; `names` are its columns by their roles, for messages."""

    def __init__(
        self,
        config: Outbox,
        names: Mapping[str, str],
        registry: Registry,
        catalog: Catalog,
        *,
        binary: bool,
    ) -> None:
        self._config, self._names = config, names
        self._registry, self._catalog = registry, catalog
        self._values = values_of(config, registry, binary=binary)
        known = config.columns.by_role
        self._placeholders = {
            name: name if name in known else f"topic {name}" for name in config.placeholders
        }
        self.routes: dict[tuple[bytes, ...], TopicRoute] = {}
        """The open routes by the texts of the topic's placeholders."""
        self._missing: dict[str, int] = {}  # topics, and the commit time when they were missing
        self._headers = [(name, f"header {name}") for name in config.headers]
        self._headers += [(name, name) for name in _TRACE if name in names]
        self._fields = [f"field {name}" for name in config.envelope]
        self._is_versioned = config.columns.version is not None
        self._is_placed = config.columns.partition is not None
        self._is_timed = config.columns.timestamp is not None
        self._frame = encode_bytes if config.key == "framed" else bytes
        self._counted: dict[str, Count] = {}

    @classmethod
    def of_messages(cls, config: Outbox, registry: Registry, catalog: Catalog) -> "EventRouter":
        """Return the router of messages, whose members have the first of their names in errors."""
        names = {role: entry[0] for role, entry in config.wanted.items()}
        binary = config.payload_as == "bytes"
        return cls(config, names, registry, catalog, binary=binary)

    @property
    def name(self) -> str:
        """The table, or the prefix of the messages."""
        return self._config.name

    @property
    def plain_headers(self) -> list[tuple[str, str]] | None:
        """Name and role of each optional header, if nothing else is special about the events.

        Then a compiled twin may make the records itself, with the routes that are open.
        """
        special = self._fields or self._is_versioned or self._is_placed or self._is_timed
        by_type = [role for role in self._placeholders.values() if role != "aggregatetype"]
        return None if special or by_type else self._headers

    @property
    def frames_keys(self) -> bool:
        """Whether keys are Avro strings."""
        return self._config.key == "framed"

    def open_values(self, event_type: str) -> OpenValues | None:
        """Return what comes before and around payloads of an event type that has occurred."""
        return self._values.open_values(event_type)

    def add(self, transaction: SourceTransaction, row: Row) -> None:
        """Add the record of an event.

        Raises:
            OutboxUnroutable: a column of the route is NULL, or has no valid value.
            PayloadRefused: the payload does not fit its schema.
            RecordTooLarge: the topic does not take it.

        """
        try:
            self._add(transaction, row)
        except (OutboxEventRefused, RecordTooLarge) as error:
            raise self.explained(error, (row.get("type") or b"").decode()) from None

    def explained(self, error: SidecarError, event_type: str = "") -> SidecarError:
        """Add to the error of an event of which outbox and type it is, and how others go on."""
        if isinstance(error, OutboxEventRefused | RecordTooLarge):
            error.event_type = event_type
        if isinstance(error, OutboxEventRefused):
            error.outbox = self._config.name
        if self._config.on_error == "halt":
            block = f"the block of outbox {self._config.name}"
            error.hint += (
                f'; or set on_error = "park" in {block} and restart, to keep such events in a topic'
                " of their own"
            )
        return error

    def _add(self, transaction: SourceTransaction, row: Row) -> None:
        route = self._route(row, transaction.commit_time)
        kind = self._required(row, "type")
        event_type = kind.decode()
        schema = event_type
        if self._is_versioned:
            schema += TYPE_VERSION + self._required(row, "version").decode()
        key = self._frame(self._required(row, "aggregateid"))
        headers = [("id", self._required(row, "id")), ("type", kind)]
        headers.append(("commit_lsn", b"%d" % transaction.final_lsn))
        for name, role in self._headers:
            text = row.get(role)
            if text is not None:
                headers.append((name, text))
        fields = [row.get(role) for role in self._fields]
        value = self._values.encode(route, schema, row["payload"], fields)
        if self._is_placed or self._is_timed:
            partition, timestamp = self._place(row, route)
            transaction.add(route.record(value, key, partition, headers, timestamp))
        else:
            transaction.append(route, value, key, headers)
        transaction.count(self._counted.get(event_type) or self.count_of(event_type))

    def _place(self, row: Row, route: TopicRoute) -> tuple[int, int]:
        """Return the partition and the time of a record that has one of its own."""
        partition, timestamp = ANY_PARTITION, NOW
        if self._is_placed:
            partition = self._partition(self._required(row, "partition"), route)
        if self._is_timed:
            timestamp = self._milliseconds(self._required(row, "timestamp"))
        return partition, timestamp

    def count_of(self, event_type: str) -> Count:
        """Return the key of the count of an event type."""
        count = Count(Counted.OUTBOX_EVENTS, self._config.name, event_type)
        self._counted[event_type] = count
        return count

    def _required(self, row: Row, role: str) -> bytes:
        value = row.get(role)
        if value is None:
            raise self._without(role)
        return value

    def _without(self, role: str) -> OutboxUnroutable:
        if self._config.table is None:
            name = self._config.wanted[role][0]
            return OutboxUnroutable(
                f"a message has no member {name}, or null in it",
                where=f"outbox messages {self._config.name}",
                hint=f"emit every message with {name}",
            )
        name = self._names[role]
        return OutboxUnroutable(f"column {name} is NULL", hint=f"make {name} NOT NULL")

    def _route(self, row: Row, moment: int) -> TopicRoute:
        parts = tuple([self._required(row, role) for role in self._placeholders.values()])
        return self.routes.get(parts) or self._open_route(parts, moment)

    def _open_route(self, parts: tuple[bytes, ...], moment: int) -> TopicRoute:
        topic = self._config.topic
        for name, part in zip(self._placeholders, parts, strict=True):
            topic = topic.replace(f"{{{name}}}", topic_part(part.decode()))
        if topic.startswith(_INTERNAL):
            raise OutboxUnroutable(
                f"topic {topic} is not for events",
                hint=f"let names of topics begin neither with {' nor with '.join(_INTERNAL)}",
            )
        if len(topic) > MAX_TOPIC_LENGTH or topic in _NO_TOPICS:
            sizes = " and ".join(
                f"{_spell(name)} of {len(part)} bytes"
                for name, part in zip(self._placeholders, parts, strict=True)
            )
            raise OutboxUnroutable(
                f"{sizes} does not make a valid topic name",
                hint=f'keep topic names within 1 to {MAX_TOPIC_LENGTH} characters, not "." or ".."',
            )
        route = self.routes[parts] = self._ask_for(topic, moment)
        return route

    def _ask_for(self, topic: str, moment: int) -> TopicRoute:
        """Ask for a topic; one that was missing just now is taken to be missing still.

        Raises:
            OutboxUnroutable: it does not exist, and events without a topic are parked.
            SidecarError: it does not exist, or registry or catalog cannot answer.

        """
        missed = self._missing.get(topic)
        if missed is not None and abs(moment - missed) < _ASK_AGAIN:
            raise _without_topic(topic)
        try:
            return self._open(topic)
        except TopicMissing:
            if self._config.on_error == "halt":
                raise
            if len(self._missing) >= _MISSING:
                self._missing.clear()
            self._missing[topic] = moment
            raise _without_topic(topic) from None

    def _open(self, topic: str) -> TopicRoute:
        schemas = {"key": STRING} if self._config.key == "framed" else {}
        if self._values.schema:
            schemas["value"] = self._values.schema
        registry, catalog = self._registry, self._catalog
        return TopicRoute.open(topic, schemas, registry, catalog, overhead=_OVERHEAD)

    def _partition(self, text: bytes, route: TopicRoute) -> int:
        is_number = text.isascii() and text.isdigit() and len(text) <= _PARTITION_DIGITS
        if not is_number or int(text) >= route.partitions:
            raise OutboxUnroutable(
                f"column {self._names['partition']} is not a partition of topic {route.topic},"
                f" which has {route.partitions}",
                hint="write a number from 0 up to one less than the topic's partitions; or give"
                " the topic more",
            )
        return int(text)

    def _milliseconds(self, text: bytes) -> int:
        """Return the time of a record: milliseconds since 1970 as Kafka has it."""
        try:
            number = _milliseconds(text.decode())
        except (ValueError, OverflowError):
            number = -1
        if number < 0:
            raise OutboxUnroutable(
                f"column {self._names['timestamp']} is not a time that Kafka can hold",
                hint="write a timestamp since 1970, or milliseconds since then",
            )
        return number


def _without_topic(topic: str) -> OutboxUnroutable:
    return OutboxUnroutable(
        f"topic {topic} does not exist",
        hint="create it, or set create = true in [topics], with partitions and replication_factor",
    )


def _milliseconds(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text) if len(text) < 16 else -1  # noqa: PLR2004 - the year 33658
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _spell(placeholder: str) -> str:
    return "an aggregate type" if placeholder == "aggregatetype" else f"a {placeholder}"
