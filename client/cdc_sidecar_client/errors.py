"""The errors of the outbox. Each says what is wrong and what to do about it."""


class OutboxError(Exception):
    """An event was not emitted, or a position was not read."""


class OutboxMistaken(OutboxError, ValueError):
    """An argument of `Outbox` or of `emit` is wrong."""


class SchemaMistaken(OutboxError, ValueError):
    """A file or a mapping is not an Avro schema of an event type."""


class EventTypeUnknown(OutboxError, LookupError):
    """The outbox has schemas, but none for the type of this event."""


class PayloadRefused(OutboxError, ValueError):
    """An event does not fit its schema.

    `reason` never contains a value of the event. `path` is the place in the payload, such as
    `$.lines[2].price`.
    """

    def __init__(self, event_type: str, path: str, reason: str) -> None:
        super().__init__(f"{event_type}: {path} {reason}")
        self.event_type = event_type
        self.path = path
        self.reason = reason


class NotInTransaction(OutboxError, RuntimeError):
    """The connection is in no transaction, so the event could be committed without the change."""


class TransactionOpen(OutboxError, RuntimeError):
    """The connection is in a transaction, so its commit has no position yet."""


class ConnectionUnknown(OutboxError, TypeError):
    """The object is not a connection that this package can write to."""
