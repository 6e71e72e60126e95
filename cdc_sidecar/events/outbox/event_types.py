"""The event types of an outbox with `payload = "avro"`: their schemas, plans and subjects.

A subject is the full name of the schema's record, because the topics are not known before the
events, and a topic holds events of several types (Confluent's RecordNameStrategy).
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cdc_sidecar.config.outbox import EventType, Outbox
from cdc_sidecar.errors import ConfigInvalid, SchemaIncompatible
from cdc_sidecar.events.payload.nodes import Node
from cdc_sidecar.events.payload.plan import SchemaMistaken, compile_payload
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.events.schema import canonical_json


@dataclass(frozen=True, slots=True)
class EventSchema:
    """The schema of one event type."""

    name: str  # in `[outboxes.events]`
    subject: str
    schema: str  # canonical JSON
    plan: Node
    compatibility: str


def event_schemas(outbox: Outbox) -> list[EventSchema]:
    """Return the schemas of an outbox's event types, in the order of the configuration.

    Raises:
        SchemaMistaken: a text is not the schema of a record.

    """
    return [_event_schema(name, event) for name, event in outbox.events.items()]


def _event_schema(name: str, event: EventType) -> EventSchema:
    plan = compile_payload(event.schema_)
    schema = canonical_json(json.loads(event.schema_))
    return EventSchema(name, plan.name, schema, plan, event.compatibility)


def check_schemas(outboxes: Iterable[Outbox]) -> None:
    """Check the schemas of all event types.

    Raises:
        ConfigInvalid: some are not the schema of a record; the error lists all of them.

    """
    mistakes = [mistake for outbox in outboxes for mistake in _mistakes(outbox)]
    if mistakes:
        count = f"{len(mistakes)} mistake{'s' * (len(mistakes) > 1)} in schemas of events"
        raise ConfigInvalid(
            "\n".join([count, *(f"  - {mistake}" for mistake in mistakes)]),
            hint="correct the files that the keys name",
        )


def _mistakes(outbox: Outbox) -> Iterator[str]:
    for name, event in outbox.events.items():
        try:
            _event_schema(name, event)
        except SchemaMistaken as error:
            yield f"outbox {outbox.name}: events.{name}.schema: {error}"


def register_schemas(outboxes: Iterable[Outbox], subjects: Subjects, registry: Registry) -> None:
    """Register the schemas of all event types; called before the first event.

    Raises:
        SchemaIncompatible: a schema cannot follow the version that is registered.

    """
    schemas = [schema for outbox in outboxes for schema in event_schemas(outbox)]
    for schema in schemas:
        check_compatible(schema, subjects)
        registry.register(schema.subject, schema.schema)


def check_compatible(schema: EventSchema, subjects: Subjects) -> None:
    """Check a new schema against the newest version of its subject.

    Raises:
        SchemaIncompatible: readers of one of the two cannot read events of the other.

    """
    versions = subjects.versions(schema.subject)
    if not versions or any(version.schema == schema.schema for version in versions):
        return
    newest = versions[-1]
    reasons = _incompatibilities(schema.schema, newest.schema, schema.compatibility)
    if reasons:
        raise SchemaIncompatible(
            f"{schema.subject} cannot follow its version {newest.version}, because"
            f" {'; '.join(reasons)}",
            where=f"event type {schema.name}",
            hint="give new fields a default, and keep or alias the old ones; or keep both versions"
            " under different names of the record; if no reader of the old version is left, set"
            f' compatibility = "none" in [outboxes.events."{schema.name}"]',
        )


def _incompatibilities(new: str, old: str, mode: str) -> list[str]:
    """Return why readers of the one schema cannot read the other."""
    reasons = []
    if mode in ("backward", "full"):
        reasons += [f"a reader of the new version: {reason}" for reason in _unread(new, old)]
    if mode in ("forward", "full"):
        reasons += [f"a reader of the old version: {reason}" for reason in _unread(old, new)]
    return reasons


def _unread(reader: str, writer: str) -> list[str]:
    """Return why a reader cannot read what a writer wrote (Apache's "Schema Resolution")."""
    import avro.compatibility  # noqa: PLC0415 - only outboxes with schemas need the library
    import avro.schema  # noqa: PLC0415 - as above

    checker: Any = avro.compatibility.ReaderWriterCompatibilityChecker
    result = checker().get_compatibility(avro.schema.parse(reader), avro.schema.parse(writer))
    if result.compatibility is avro.compatibility.SchemaCompatibilityType.compatible:
        return []
    return [f"{message} (at {place})" for message, place in _reasons(result)]


def _reasons(result: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - Apache's library has no types
    return list(zip(sorted(result.messages), sorted(result.locations), strict=False))
