"""Emits events: each one is committed with the caller's transaction, or not at all."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from cdc_sidecar_client import statements
from cdc_sidecar_client.columns import Columns, columns_by_role
from cdc_sidecar_client.drivers import find_async_driver, find_driver
from cdc_sidecar_client.errors import OutboxMistaken, PayloadRefused
from cdc_sidecar_client.identifiers import new_id
from cdc_sidecar_client.payload.encode import encode, spell
from cdc_sidecar_client.payload.misfit import Misfit
from cdc_sidecar_client.payload.objects import is_instance_with_fields
from cdc_sidecar_client.payload.plain import encode_plain
from cdc_sidecar_client.payload.schemas import Source, load_schemas
from cdc_sidecar_client.statements import PAYLOAD_CASTS, UUID_CAST, PayloadAs, Row, Shape, Statement
from cdc_sidecar_client.trace import trace_of_caller

Aggregate = tuple[str, str | int | UUID]
Extra = Mapping[str, object]
_SHAPES: Final = ("table", "transient", "message")
_RESERVED_PREFIX: Final = "cdc-sidecar."
"""The prefixes of the sidecar's own messages begin with it."""
_NO_TOPICS: Final = frozenset({"", ".", ".."})


class Outbox:
    """One outbox of a service. It holds no connection, and may be used by several threads."""

    def __init__(
        self,
        shape: Shape = "table",
        *,
        table: str = "public.outbox",
        prefix: str = "outbox",
        columns: Columns | None = None,
        payload_as: PayloadAs = "text",
        schemas: Source | None = None,
    ) -> None:
        """Describe the outbox as the sidecar's `[[outboxes]]` does, and read the schemas.

        `shape` says what `emit` writes: `table`, a row; `transient`, a row that it deletes at once,
        so that the table stays empty; `message`, a logical message with `prefix`, and no table.
        `columns` maps roles to other names, or to None for a column that the table does not have.
        `payload_as` is `bytes` if the payload is a bytea. `schemas` is a folder of .avsc files, or
        maps event types to files or schemas. Without it any JSON may be emitted.

        Raises:
            OutboxMistaken: an argument is wrong.
            SchemaMistaken: a file is not a schema.

        """
        if shape not in _SHAPES:
            raise OutboxMistaken(f"shape {shape!r} is none of {', '.join(_SHAPES)}")
        if payload_as not in PAYLOAD_CASTS:
            raise OutboxMistaken(f"payload_as {payload_as!r} is none of text, bytes")
        if not prefix or prefix.startswith(_RESERVED_PREFIX):
            raise OutboxMistaken(f"prefix is empty or begins with {_RESERVED_PREFIX}")
        self._shape = shape
        self._table = table
        self._prefix = prefix
        self._columns = columns_by_role(columns or {})
        self._casts = {
            self._columns["id"]: UUID_CAST,
            self._columns["payload"]: PAYLOAD_CASTS[payload_as],
        }
        self._schemas = None if schemas is None else load_schemas(schemas)

    def emit(
        self,
        connection: object,
        event: object,
        *,
        aggregate: Aggregate,
        type: str | None = None,  # noqa: A002 - the name of the column
        id: UUID | None = None,  # noqa: A002 - as above
        extra: Extra | None = None,
    ) -> UUID:
        """Write an event in the transaction of `connection`; return its id.

        `connection` is a psycopg connection or cursor, a SQLAlchemy session or connection, or a
        Django connection. `event` is a dataclass, a pydantic model, an attrs object or a mapping;
        None is a tombstone. `aggregate` has the type, which names the topic, and the id, which is
        the record's key. `type` is the event type, by default the name of the event's class.
        `extra` has the values of other columns, by role or by name.

        Raises:
            ConnectionUnknown: this is not a connection, or one for `emit_async`.
            EventTypeUnknown: the outbox has no schema for this type.
            NotInTransaction: the connection is in no transaction.
            OutboxMistaken: an argument is wrong.
            PayloadRefused: the event does not fit its schema.

        """
        driver = find_driver(connection)
        event_id = id or new_id()
        written = self._statements(event, aggregate, type, event_id, extra or {})
        driver.write(written)
        return event_id

    async def emit_async(
        self,
        connection: object,
        event: object,
        *,
        aggregate: Aggregate,
        type: str | None = None,  # noqa: A002 - the name of the column
        id: UUID | None = None,  # noqa: A002 - as above
        extra: Extra | None = None,
    ) -> UUID:
        """Write an event as `emit` does, on an async connection.

        `connection` is an async psycopg connection or cursor, an async SQLAlchemy session or
        connection, or an asyncpg connection. The errors are those of `emit`.
        """
        driver = find_async_driver(connection)
        event_id = id or new_id()
        written = self._statements(event, aggregate, type, event_id, extra or {})
        await driver.write(written)
        return event_id

    # --- what is written

    def _statements(
        self, event: object, aggregate: Aggregate, given: str | None, event_id: UUID, extra: Extra
    ) -> list[Statement]:
        event_type = _type_of(event, given)
        payload = self._encode(event, event_type, extra.get("version"))
        roles = {"id": str(event_id), **_key_of(aggregate), "type": event_type}
        trace = trace_of_caller()
        traces = {role: trace.get(role) for role in ("traceparent", "tracestate")}
        more = {self._columns.get(name, name): value for name, value in extra.items()}
        if self._shape == "message":
            present = {role: text for role, text in traces.items() if text}
            content = {**self._named(roles | present), self._columns["payload"]: payload}
            return [statements.message(self._prefix, _spell_message(content, more))]
        texts = roles | {"payload": None if event is None else spell(payload)} | traces
        return self._table_statements(Row(self._named(texts), more), str(event_id))

    def _table_statements(self, row: Row, event_id: str) -> list[Statement]:
        twice = row.texts.keys() & row.extra.keys()
        row = Row({name: text for name, text in row.texts.items() if name not in twice}, row.extra)
        written = [statements.insert(self._table, row, self._casts)]
        if self._shape == "transient":
            written.append(statements.delete(self._table, self._columns["id"], event_id))
        return written

    def _named(self, roles: Mapping[str, Any]) -> dict[str, Any]:
        """Return values by the columns of their roles, without those that the outbox lacks."""
        return {self._columns[role]: roles[role] for role in roles if role in self._columns}

    def _encode(self, event: object, event_type: str, version: object) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of an event."""
        node = self._schemas.find(event_type, version) if self._schemas else None
        if event is None:
            return None
        try:
            return encode_plain(event) if node is None else encode(node, event)
        except Misfit as error:
            raise PayloadRefused(event_type, error.path, error.reason) from None


def _type_of(event: object, given: str | None) -> str:
    if given is None and is_instance_with_fields(event):
        return type(event).__name__
    if not given or not isinstance(given, str):
        raise OutboxMistaken("the event's class does not name its type: pass type=")
    return given


def _key_of(aggregate: Aggregate) -> dict[str, str]:
    match aggregate:
        case (str() as kind, (str() | int() | UUID()) as key) if kind not in _NO_TOPICS:
            return {"aggregatetype": kind, "aggregateid": str(key)}
        case _:
            pass
    raise OutboxMistaken('aggregate is not a pair of type and id, such as ("order", "42")')


def _spell_message(content: Mapping[str, Any], extra: Extra) -> str:
    try:
        return spell({**content, **{name: encode_plain(value) for name, value in extra.items()}})
    except Misfit as error:
        raise OutboxMistaken(f"a value of extra {error.reason}") from None
