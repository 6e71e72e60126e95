"""The consumer of a service: its handlers, and the loop that runs them."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, Final, TypeVar

import psycopg
from confluent_kafka import KafkaException

from cdc_sidecar_client.consumer import kafka as kafka_client
from cdc_sidecar_client.consumer import parked
from cdc_sidecar_client.consumer.decode import Decoder
from cdc_sidecar_client.consumer.errors import ConfigurationInvalid, KafkaFailed, OffsetMoved
from cdc_sidecar_client.consumer.handlers import Dispatcher, Handlers
from cdc_sidecar_client.consumer.policy import Policy
from cdc_sidecar_client.consumer.registry import SchemaRegistry
from cdc_sidecar_client.consumer.session import Counts, Membership, Session

log = logging.getLogger("cdc_sidecar_client.consumer")

F = TypeVar("F", bound=Callable[[psycopg.Connection[Any], Any], object])
Connect = Callable[[], psycopg.Connection[Any]]
_SETTLED_SECONDS: Final = 60.0  # a session that lasted longer does not count as a failure


class Consumer:
    """Handles the events of topics; their effects in the database happen once.

    Each event is handled in a transaction that also moves the offset of its partition in the table
    `consumer_offsets` (`schema_sql`). Several members of a group may run; Kafka divides the
    partitions among them.
    """

    def __init__(
        self,
        group: str,
        *,
        topics: Sequence[str],
        bootstrap_servers: str,
        registry: str | SchemaRegistry,
        database: str | Connect,
        policy: Policy | None = None,
        kafka: Mapping[str, Any] | None = None,
    ) -> None:
        """Describe a consumer. Nothing is connected before `run`.

        `registry` is the URL of the sidecar's `http.listen` or of a registry with Confluent's API;
        separate several with commas. `database` is a connection string, or a function that returns
        a new connection of psycopg. `kafka` holds further settings of librdkafka, such as
        `security.protocol` and `group.instance.id`.

        Raises:
            ConfigurationInvalid: a setting cannot work.

        """
        if isinstance(topics, str) or not topics:
            raise ConfigurationInvalid("topics is not a list of names")
        self.group = group
        self.counts = Counts()
        self._policy = policy or Policy()
        self._handlers = Handlers()
        registry = SchemaRegistry(registry) if isinstance(registry, str) else registry
        decoder = Decoder(registry, self._policy.raw_topics)
        self._dispatcher = Dispatcher(decoder, self._handlers, self._policy.unknown)
        self._connect = partial(_connect, database) if isinstance(database, str) else database
        self._kafka = partial(kafka_client.client, bootstrap_servers, group, dict(kafka or {}))
        self._topics = tuple(topics)
        self._stop = threading.Event()

    def handler(self, kind: str | None = None, *, topic: str | None = None) -> Callable[[F], F]:
        """Register the decorated function for events of a type, of a topic, or of both.

        It is called with `(transaction, event)`. The annotation of the second parameter says what
        it gets: `Event` (also the default), `Event[T]` with the payload as a `T`, or only the
        payload, as a dict, a dataclass or a model of pydantic. The types of table events are `c`,
        `u`, `d`, `r`, `t` and `m`; tombstones have a handler only if one is registered for
        `"tombstone"`. `transaction` is a connection of psycopg whose transaction is open; the
        consumer ends it.

        Raises:
            ConfigurationInvalid: the function cannot be a handler, or there is one already.

        """

        def add(function: F) -> F:
            self._handlers.add(function, kind, topic)
            return function

        return add

    def run(self) -> None:
        """Handle events until `stop` is called or the process gets SIGTERM or SIGINT.

        The event in work is finished. Failures of Kafka and of the database are logged, and it
        connects again with back-off.

        Raises:
            ConsumerError: somebody has to do something first.

        """
        failures = 0
        with self._stopped_by_signals():
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    self._session()
                except (psycopg.OperationalError, KafkaException, OffsetMoved) as error:
                    failures = 1 if time.monotonic() > began + _SETTLED_SECONDS else failures + 1
                    delay = self._policy.retry.delay(failures)
                    log.warning("session_ended %s, next in %g s", error, delay)
                    self._stop.wait(delay)

    def stop(self) -> None:
        """Let `run` return after the event in work. Any thread may call it."""
        self._stop.set()

    def list_parked(self, limit: int = 1000) -> list[parked.ParkedEvent]:
        """Return the oldest parked events of the group."""
        with self._connected() as connection:
            return parked.list_parked(connection, self.group, limit)

    def retry_parked(self, ids: Sequence[int] | None = None) -> parked.Retried:
        """Handle parked events again, those of each key in order: see `parked.retry_parked`."""
        with self._connected() as connection:
            prepare = self._dispatcher.prepare
            return parked.retry_parked(connection, self.group, prepare, ids)

    def discard_parked(self, ids: Sequence[int]) -> int:
        """Delete parked events without handling them; return their number."""
        with self._connected() as connection:
            return parked.discard_parked(connection, self.group, ids)

    def _session(self) -> None:
        places = (self.group, self._topics, self._policy, self._dispatcher)
        member = Membership(*places, self._kafka, self._connect, self.counts)
        try:
            Session(member).run(self._stop)
        except KafkaException as error:
            if error.args[0].fatal():
                raise KafkaFailed(str(error.args[0])) from error
            raise

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        connection = self._connect()
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def _stopped_by_signals(self) -> Iterator[None]:
        """Stop at SIGTERM and SIGINT. Only the main thread can say so to Python."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(number, self._on_signal) for number in signals]
        try:
            yield
        finally:
            for number, handler in zip(signals, before, strict=True):
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()


def _connect(conninfo: str) -> psycopg.Connection[Any]:
    return psycopg.connect(conninfo, autocommit=True)
