"""What can go wrong in a consumer, with a hint where the owner can mend it."""


class ConsumerError(Exception):
    """An error that ends `Consumer.run`: the owner has to do something."""

    def __init__(self, fact: str, *, hint: str = "") -> None:
        super().__init__(f"{fact}\nhint: {hint}" if hint else fact)


class ConfigurationInvalid(ConsumerError):
    """A handler or a setting cannot work."""


class TablesMissing(ConsumerError):
    """The database has no tables for offsets and parked events."""


class OffsetLost(ConsumerError):
    """Kafka no longer has the events at the stored offset."""


class UnknownEventType(ConsumerError):
    """An event has no handler, and the policy is to stop."""


class KafkaFailed(ConsumerError):
    """Kafka refuses this consumer for good."""


class EventError(Exception):
    """An event cannot be handled. The message becomes the `error` of the parked event."""


class Undecodable(EventError):
    """The bytes of an event do not fit its schema, or its payload does not fit the handler."""


class SchemaMissing(EventError):
    """No registry has the schema of an event (yet)."""


class Park(EventError):
    """A handler raises it to park its event at once, without further attempts."""


class HandlerFailed(EventError):
    """A handler raised an exception, which is the cause."""


class RegistryUnavailable(Exception):
    """No registry answered. This is not counted as an attempt of the event."""


class OffsetMoved(Exception):
    """Another member of the group has advanced the offset of a partition."""


def text_of(error: BaseException) -> str:
    """Return type and message of an error, of its cause if it only wraps one."""
    shown = error.__cause__ if isinstance(error, HandlerFailed) and error.__cause__ else error
    return f"{type(shown).__name__}: {shown}"
