"""The transactional producer: disposable, never rewound, its outcome never guessed (I8).

After any error a producer is dropped, never closed: closing would wait for an abort without limit.
The protocol facts behind this are in `docs/explanation/exactly-once.md`.
"""

import time
from collections.abc import Callable, Iterable
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from cdc_sidecar.config.model import Kafka, Publish
from cdc_sidecar.errors import (
    KafkaRefused,
    KafkaUnavailable,
    ProducerFenced,
    SidecarError,
    TransactionFailed,
)
from cdc_sidecar.events.record import Record
from cdc_sidecar.kafka.client import LOGGER, client_settings, translate, translated

LINGER: Final = 100
"""Milliseconds after which a batch is sent that is not full: longer than a transaction gathers, and
its commit sends what is left. A batch that is due while another of its partition is under way lets
librdkafka's thread spin; fuller batches are less work for the broker.
"""
SLICE: Final = 1.0  # seconds that a call into librdkafka may block
RETRY_BACKOFF: Final = 1.0  # seconds; also how a retried EndTxn is recognised
SLOW_COMMIT: Final = 0.8 * RETRY_BACKOFF
"""A commit this slow may have sent EndTxn twice: the late one could commit half of the next."""
ROOM_POLL: Final = 0.05
"""Seconds between two attempts while librdkafka's queue is full: room comes with each batch that is
sent, and a lost lock must be noticed soon.
"""

_BATCH_TOPIC: Final = attrgetter("batch_topic")


def producer_settings(
    config: Kafka, publish: Publish, transactional_id: str, smallest: int
) -> dict[str, Any]:
    """Return the producer's settings; `smallest` is the smallest limit of a topic, in bytes.

    A record's own limit is its topic's: who makes the record checks it, librdkafka does not.
    """
    timeout = round(publish.transaction_timeout * 1000)
    defaults = {"linger.ms": LINGER, "compression.type": "lz4"}
    owned = client_settings(
        config,
        transactional_id=transactional_id,
        transaction_timeout_ms=timeout,
        acks="all",
        enable_idempotence=True,
        partitioner="murmur2_random",
        message_max_bytes=1_000_000_000,
        batch_size=min(1_000_000, smallest),
        queue_buffering_max_kbytes=max(32768, publish.max_batch_bytes // 1024 * 2),
        queue_buffering_max_messages=50_000,
        delivery_report_only_error=True,
        retry_backoff_ms=round(RETRY_BACKOFF * 1000),
        retry_backoff_max_ms=round(RETRY_BACKOFF * 1000),
    )
    owned.setdefault("socket.timeout.ms", min(60_000, timeout))
    return {**defaults, **owned}


class TransactionalProducer:
    """One epoch of one transactional id; the publisher thread alone uses it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Make the client; nothing is sent yet.

        Raises:
            KafkaSettingInvalid: librdkafka does not take a setting.

        """
        self._timeout = settings["transaction.timeout.ms"] / 1000
        with translated():
            self._producer = Producer({**settings, "logger": LOGGER})

    def claim(self, stopping: Callable[[], bool], deadline: float = 60.0) -> None:
        """Fence every earlier producer and wait until what it left in doubt is decided.

        Raises:
            KafkaUnavailable: no answer within `deadline` seconds, or stopping meanwhile.
            KafkaRefused: the id or its time-out is not allowed.

        """
        until = time.monotonic() + deadline
        while True:
            try:
                self._producer.init_transactions(SLICE)
            except KafkaException as exception:
                error = exception.args[0]
                if not error.retriable() or time.monotonic() >= until or stopping():
                    raise _unavailable(translate(error)) from exception
            else:
                return

    def begin(self) -> None:
        """Begin a transaction; local until the first record.

        Raises:
            TransactionFailed: the producer is in no state to begin one.

        """
        try:
            self._producer.begin_transaction()
        except KafkaException as exception:
            raise self._failure(exception) from exception

    def produce(
        self, records: Iterable[Record], waiting: Callable[[float], None] = lambda _seconds: None
    ) -> None:
        """Hand records to librdkafka.

        While its queue is full, `waiting` is called with the seconds so far.

        Raises:
            TransactionFailed: the transaction cannot go on.
            ProducerFenced: another producer took over, or the broker timed the transaction out.

        """
        begun = time.monotonic()

        def wait() -> None:
            self._producer.poll(ROOM_POLL)
            waited = time.monotonic() - begun
            waiting(waited)
            if waited > self._timeout:
                raise TransactionFailed(
                    "records wait in the client for longer than the transaction may"
                )

        try:
            for topic, records_of_topic in groupby(records, _BATCH_TOPIC):
                run = list(records_of_topic)
                if topic is None or len(run) == 1:
                    self._produce_each(run, wait)
                else:
                    self._produce_run(topic, run, wait)
            self._producer.poll(0)
        except (KafkaException, SystemError) as exception:
            raise self._failure(exception) from exception

    def _produce_run(self, topic: str, run: list[Record], wait: Callable[[], None]) -> None:
        """Hand on records of one topic in one call.

        In a call for each record, librdkafka would look the topic up by its name each time. It
        accepts as many as there is room for, from the first on, and marks the others.
        """
        messages: list[dict[str, Any]] = [
            {"value": record.value, "key": record.key} for record in run
        ]
        while (taken := self._producer.produce_batch(topic, messages)) < len(messages):
            _check_full(messages, taken)
            messages = messages[taken:]
            wait()

    def _produce_each(self, records: list[Record], wait: Callable[[], None]) -> None:
        """Hand on records one by one: those that have a partition or headers."""
        produce: Any = self._producer.produce
        for record in records:
            topic, headers = record.topic, record.headers
            while True:
                try:  # without callbacks, and with the time of now
                    produce(
                        topic, record.value, record.key, record.partition, None, None, 0, headers
                    )
                    break
                except BufferError:
                    wait()

    def commit(self, waiting: Callable[[float], None] = lambda _seconds: None) -> bool:
        """Commit; tell whether the producer may be used again.

        While the brokers do not answer, `waiting` is called every second with the seconds so far.

        Raises:
            TransactionFailed: the outcome is unknown; the position decides.
            ProducerFenced: another producer took over, or the broker timed the transaction out.

        """
        begun = time.monotonic()
        until = begun + self._timeout
        self._deliver(waiting, begun, until)
        started = time.monotonic()
        while True:
            try:
                self._producer.commit_transaction(SLICE)
            except SystemError as exception:
                raise self._failure(exception) from exception
            except KafkaException as exception:
                waiting(time.monotonic() - begun)
                if not exception.args[0].retriable() or time.monotonic() > until:
                    raise self._failure(exception) from exception
            else:
                return time.monotonic() - started < SLOW_COMMIT

    def _deliver(self, waiting: Callable[[float], None], begun: float, until: float) -> None:
        """Wait until the brokers have every record."""
        try:
            while self._producer.flush(SLICE):
                waiting(time.monotonic() - begun)
                if time.monotonic() > until:
                    raise TransactionFailed("records were not delivered within the time-out")
        except (KafkaException, SystemError) as exception:
            raise self._failure(exception) from exception

    def abort_on(self, places: Iterable[tuple[str, int]]) -> None:
        """Abort a transaction that has a record in each place, topic and partition.

        It ends there what an earlier one of the same id left open; the producer is used up.

        Raises:
            TransactionFailed: not known to be aborted.

        """
        self.begin()
        self.produce(Record(topic, b"", b"", partition) for topic, partition in places)
        begun = time.monotonic()
        self._deliver(lambda _seconds: None, begun, begun + self._timeout)
        if not self.abort():
            raise TransactionFailed("the abort of what was left open is in doubt")

    def abort(self, timeout: float = 5.0) -> bool:
        """Abort the open transaction; tell whether it is known to be aborted."""
        try:
            self._producer.abort_transaction(timeout)
        except KafkaException as exception:
            LOGGER.info("abort: %s", exception.args[0].str())
            return False
        return True

    def _failure(self, exception: KafkaException | SystemError) -> SidecarError:
        """Translate an error of the open transaction: whatever it says, the outcome is unknown.

        A SystemError is a fatal error after which librdkafka had more to log: confluent-kafka then
        calls our logger while the error's exception is set.
        """
        if isinstance(exception, SystemError):
            return self._fatal_cause() or TransactionFailed("librdkafka gave the producer up")
        error = exception.args[0]
        translated_error = translate(error)
        if error.fatal() or error.code() == KafkaError._FATAL:  # noqa: SLF001 - its spelling
            translated_error = self._fatal_cause() or translated_error
        if isinstance(translated_error, ProducerFenced | KafkaRefused):
            return translated_error
        return TransactionFailed(translated_error.fact)

    def _fatal_cause(self) -> SidecarError | None:
        """Ask for the code behind a fatal error, which `produce` and `flush` do not tell."""
        try:
            self._producer.abort_transaction(SLICE)
        except KafkaException as exception:
            return translate(exception.args[0])
        return None


def _check_full(messages: list[dict[str, Any]], taken: int) -> None:
    """Check that all behind the first `taken` of a run were left out for want of room.

    Raises:
        KafkaException: one was refused.
        TransactionFailed: one was taken, but not those before it: order is lost.

    """
    errors = [message.pop("_error", None) for message in messages]
    for error in errors:
        if error and error.code() != KafkaError._QUEUE_FULL:  # noqa: SLF001 - its spelling
            raise KafkaException(error)
    if not all(errors[taken:]):
        raise TransactionFailed("librdkafka took records out of order")


def _unavailable(error: SidecarError) -> SidecarError:
    if isinstance(error, TransactionFailed):
        return KafkaUnavailable(error.fact)
    return error
