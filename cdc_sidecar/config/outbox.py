"""The configuration of outboxes: where the events come from, and how they are sent."""

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from cdc_sidecar.config.fields import ColumnEntry, OnError, TableName
from cdc_sidecar.config.section import Section
from cdc_sidecar.config.units import Duration

_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]*")
"""The characters that Kafka allows in a topic's name."""
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_HEADERS: Final = frozenset({"id", "type", "commit_lsn", "traceparent", "tracestate"})
"""The headers that every event has, or that have a role of their own."""
OPTIONAL: Final = frozenset({"traceparent", "tracestate"})
"""The roles whose column need not exist."""
_RESERVED_PREFIX: Final = "cdc-sidecar."
"""The prefixes of the sidecar's own messages begin with it."""
TYPE_VERSION: Final = ".v"
"""Stands between an event's type and its version in the names of `[outboxes.events]`."""


class OutboxColumns(Section):
    """The names of an outbox's columns, each with all names that it has had.

    The defaults are Debezium's. Of messages, they are the members of the JSON object.
    """

    id: ColumnEntry = "id"
    aggregatetype: ColumnEntry = "aggregatetype"
    aggregateid: ColumnEntry = "aggregateid"
    type: ColumnEntry = "type"
    payload: ColumnEntry = "payload"
    traceparent: ColumnEntry = "traceparent"
    tracestate: ColumnEntry = "tracestate"
    partition: ColumnEntry | None = None
    timestamp: ColumnEntry | None = None
    version: ColumnEntry | None = None

    @property
    def by_role(self) -> dict[str, tuple[str, ...]]:
        """The names of each column by its role."""
        entries = ((role, getattr(self, role)) for role in type(self).model_fields)
        return {role: _names(entry) for role, entry in entries if entry is not None}


def _names(entry: str | tuple[str, ...]) -> tuple[str, ...]:
    return (entry,) if isinstance(entry, str) else entry


class EventType(Section):
    """The schema of one event type: its JSON text, which the loader has read from the file."""

    schema_: Annotated[str, Field(alias="schema", min_length=1)]
    compatibility: Literal["backward", "forward", "full", "none"] = "backward"


class Outbox(Section):
    """One transactional outbox: a table whose inserted rows become events, or messages."""

    table: TableName | None = None
    prefix: Annotated[str, Field(min_length=1)] | None = None
    topic: str = "outbox.event.{aggregatetype}"
    key: Literal["framed", "raw"] = "framed"
    payload: Literal["framed", "raw", "avro"] = "framed"
    payload_as: Literal["text", "bytes"] | None = None
    columns: OutboxColumns = OutboxColumns()
    headers: dict[str, ColumnEntry] = Field(default_factory=dict)
    envelope: dict[str, ColumnEntry] = Field(default_factory=dict)
    events: dict[str, EventType] = Field(default_factory=dict)
    on_error: OnError = "halt"
    prune: Annotated[Duration, Field(gt=0)] | None = None
    former_names: Annotated[tuple[TableName, ...], Field(strict=False)] = ()
    dropped: bool = False

    @property
    def name(self) -> str:
        """The table, or the prefix of the messages: a table's name has a dot after its schema."""
        return self.table or self.prefix or ""

    @property
    def placeholders(self) -> list[str]:
        """The roles and columns in the topic's template."""
        return _PLACEHOLDER.findall(self.topic)

    @property
    def wanted(self) -> dict[str, tuple[str, ...]]:
        """The names of every column that is read, by its role.

        A column without a role of its own has one that says where it goes: `header tenant`,
        `field tenant` of the envelope, or `topic tenant`.
        """
        roles = self.columns.by_role
        more = {f"header {name}": _names(entry) for name, entry in self.headers.items()}
        more |= {f"field {name}": _names(entry) for name, entry in self.envelope.items()}
        more |= {f"topic {name}": (name,) for name in self.placeholders if name not in roles}
        if "aggregatetype" not in self.placeholders:
            del roles["aggregatetype"]
        return roles | more

    @model_validator(mode="after")
    def _from_somewhere(self) -> "Outbox":
        if (self.table is None) == (self.prefix is None):
            message = "must have either table or prefix"
            raise ValueError(message)
        if self.prefix is not None:
            wrong = [key for key in ("prune", "former_names", "dropped") if getattr(self, key)]
            if wrong:
                message = f"{', '.join(wrong)} is only for a table, not for messages"
                raise ValueError(message)
            if self.prefix.startswith(_RESERVED_PREFIX):
                message = f"prefix must not begin with {_RESERVED_PREFIX}"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _routed(self) -> "Outbox":
        if not _TOPIC.fullmatch(_PLACEHOLDER.sub("", self.topic)):
            message = "topic may contain only letters, digits, ., _, - and {columns} in braces"
            raise ValueError(message)
        if "payload" in self.placeholders or "" in self.placeholders:
            message = "topic must name columns other than the payload in its braces"
            raise ValueError(message)
        taken = sorted(_HEADERS & self.headers.keys())
        if taken:
            message = f"header {', '.join(taken)} is sent already; remove it from headers"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _with_schemas(self) -> "Outbox":
        mistakes = list(self._mistaken_payload())
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    def _mistaken_payload(self) -> Iterator[str]:
        if self.events and self.payload != "avro":
            yield 'events have schemas only with payload = "avro"'
        if self.payload == "avro" and not self.events and self.payload_as != "bytes":
            yield (
                'payload = "avro" needs the schema of each event type: '
                '[outboxes.events."OrderPlaced"] schema = "order_placed.avsc"; or, if every'
                ' payload is framed Avro already, payload_as = "bytes"'
            )
        if self.envelope and self.payload == "raw":
            yield 'envelope needs payload = "framed" or "avro"'
        if self.payload == "avro" and self.payload_as == "bytes":
            unused = [key for key in ("envelope", "events") if getattr(self, key)]
            unused += ["columns.version"] if self.columns.version is not None else []
            if unused:
                names = ", ".join(unused)
                yield f'payload_as = "bytes" passes framed Avro on, so {names} is unused'
        if "" in self.envelope:
            yield "envelope must not have a field without a name"
        if self.dropped and self.prune:
            yield "prune is not for an outbox that is dropped"
        if "payload" in self.envelope:
            yield "envelope must not have a field named payload"
        if self.columns.version is not None and self.payload != "avro":
            yield 'columns.version chooses a schema, so it needs payload = "avro"'
