"""Errors 3xx: rows and schemas."""

from cdc_sidecar.errors.tree import HaltError


class Unrepresentable(HaltError, code="CDC-301", title="value cannot be represented"):
    """A value has no exact form in the Avro type of its column."""


class RecordTooLarge(HaltError, code="CDC-302", title="event is too large for its topic"):
    """An event is larger than its topic accepts; the router of an outbox adds its type."""

    event_type = ""


class LayoutRefused(
    HaltError, code="CDC-303", title="changed table cannot be captured as configured"
):
    """A table changed, and its new layout cannot be captured as configured."""


class OutboxEventRefused(HaltError):
    """An event of an outbox cannot be published; the router says of which one and of which type."""

    outbox = ""
    event_type = ""


class OutboxUnroutable(OutboxEventRefused, code="CDC-304", title="outbox row cannot be routed"):
    """An outbox row has NULL as its key or type, or a type that makes no valid topic name."""


class TruncateRefused(HaltError, code="CDC-305", title="table was truncated"):
    """A TRUNCATE arrived for a table configured with `truncate = "halt"`."""


class SchemaIdClash(HaltError, code="CDC-306", title="two schemas have the same id"):
    """Two different schemas have the same id, which is a part of their digests."""


class PayloadRefused(OutboxEventRefused, code="CDC-307", title="payload does not fit its schema"):
    """The payload of an outbox event does not fit the schema of its type, or has none."""


class SchemaIncompatible(HaltError, code="CDC-308", title="schema is not compatible"):
    """The schema of an event type cannot follow the version that is registered."""
