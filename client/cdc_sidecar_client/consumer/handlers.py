"""Handlers by the type of their event, each with the payload that its annotation asks for."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import psycopg

from cdc_sidecar_client.consumer.convert import convert
from cdc_sidecar_client.consumer.decode import Decoder
from cdc_sidecar_client.consumer.errors import ConfigurationInvalid, Undecodable, UnknownEventType
from cdc_sidecar_client.consumer.record import TOMBSTONE, Event, Record

Transaction = psycopg.Connection[Any]
Call = Callable[[Transaction], object]
Handler = Callable[[Transaction, Any], object]
_PARAMETERS: Final = 2  # the transaction and the event


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done with a record: call a handler, park it with `error`, or neither."""

    record: Record
    event: Event[Any] | None = None
    call: Call | None = None
    error: Exception | None = None

    @property
    def is_passive(self) -> bool:
        """Whether only the offset moves."""
        return self.call is None and self.error is None


class Handlers:
    """The handlers of a consumer."""

    def __init__(self) -> None:
        self._known: dict[tuple[str | None, str | None], Callable[[Event[Any]], Call]] = {}

    def add(self, handler: Handler, kind: str | None, topic: str | None) -> None:
        """Add a handler for a type of events, for a topic, or for a type on a topic.

        Raises:
            ConfigurationInvalid: the handler cannot be called, or there is one already.

        """
        if kind is None and topic is None:
            raise ConfigurationInvalid(f"{handler!r} has neither an event type nor a topic")
        if (topic, kind) in self._known:
            raise ConfigurationInvalid(f"there are two handlers of {kind or topic}")
        self._known[topic, kind] = partial(_bind, handler, _annotation(handler))

    def find(self, event: Event[Any]) -> Call | None:
        """Return the call that handles an event; the most specific handler is taken.

        Raises:
            Undecodable: the payload does not fit the handler's annotation.

        """
        for place in ((event.topic, event.type), (event.topic, None), (None, event.type)):
            if place in self._known and (place[1] or event.type != TOMBSTONE):
                return self._known[place](event)
        return None


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Says what is to be done with a record."""

    decoder: Decoder
    handlers: Handlers
    unknown: Literal["ignore", "park", "stop"]

    def prepare(self, record: Record) -> Work:
        """Decode a record and find its handler. What cannot be decoded is to be parked.

        Raises:
            UnknownEventType: there is no handler, and the policy is to stop.
            SchemaMissing: no registry has the schema.
            RegistryUnavailable: a registry does not answer.

        """
        event: Event[Any] | None = None
        try:
            event = self.decoder.decode(record)
            call = self.handlers.find(event)
        except Undecodable as error:
            return Work(record, event, error=error)
        if call or event.type == TOMBSTONE or self.unknown == "ignore":
            return Work(record, event, call)
        unknown = UnknownEventType(
            f"no handler of type {event.type!r} on topic {record.topic}",
            hint='add a handler, or set Policy(unknown="ignore")',
        )
        if self.unknown == "stop":
            raise unknown
        return Work(record, event, error=unknown)


def _annotation(handler: Handler) -> Any:  # noqa: ANN401 - any type
    """Return the type of a handler's second parameter, `Event` if it has none."""
    if inspect.iscoroutinefunction(handler):
        hint = "write a function; for asyncio use Inbox"
        raise ConfigurationInvalid(f"handler {handler!r} is a coroutine", hint=hint)
    parameters = list(inspect.signature(handler).parameters.values())
    if len(parameters) < _PARAMETERS:
        hint = "give it the parameters (transaction, event)"
        raise ConfigurationInvalid(f"handler {handler!r} takes too few arguments", hint=hint)
    named = handler if inspect.isroutine(handler) else type(handler).__call__
    try:
        return get_type_hints(named).get(parameters[1].name, Event)
    except NameError as error:
        hint = "define the event's type at the top of the module"
        raise ConfigurationInvalid(f"handler {handler!r}: {error}", hint=hint) from error


def _bind(handler: Handler, annotation: Any, event: Event[Any]) -> Call:  # noqa: ANN401 - as above
    if annotation is Event or annotation is Any:
        return lambda transaction: handler(transaction, event)
    if get_origin(annotation) is Event:
        (wanted,) = get_args(annotation)
        typed = replace(event, payload=convert(wanted, event.payload))
        return lambda transaction: handler(transaction, typed)
    payload = convert(annotation, event.payload)
    return lambda transaction: handler(transaction, payload)
