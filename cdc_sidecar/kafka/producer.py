"""The transactional producer: it is disposable, and the outcome of a commit is never guessed (I8).

After an error a producer is dropped and never closed, because closing waits for an abort without
limit. `docs/explanation/exactly-once.md` has the protocol facts behind this.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from cdc_sidecar.config.model import Kafka, Publish
from cdc_sidecar.errors import (
    KafkaUnavailable,
    SidecarError,
    TransactionFailed,
)
from cdc_sidecar.events import twin
from cdc_sidecar.events.record import Record
from cdc_sidecar.kafka.client import Asked, client_settings, error_of, translate, translated
from cdc_sidecar.kafka.failure import (
    RECORD_OVERHEAD,
    check_credentials,
    check_full,
    failure,
    too_large_for_queue,
    too_slow,
)
from cdc_sidecar.kafka.reason import LOGGER, Reason

LINGER: Final = 100
"""Milliseconds after which a batch that is not full is sent. This is longer than a transaction
gathers, and its commit sends the rest. If a batch became due while another batch of its partition
is being sent, librdkafka's thread would spin. Fuller batches are also less work for the broker.
"""
SLICE: Final = 1.0
"""Seconds that one call into librdkafka may block: Python handles no signal during that time."""
FENCE_TIMEOUT: Final = 60.0
"""Seconds in which the brokers must fence. It took 0.06 s; a coordinator that loads or moves to
another broker, or markers of a large transaction, take longer."""
ABORT_TIMEOUT: Final = 5.0
"""Seconds that an abort may take: a shutdown and a new session wait for it."""
RETRY_BACKOFF: Final = 1.0
"""Seconds before librdkafka sends a request again. They are so long that a commit which was sent
again is recognised by its duration."""
SLOW_COMMIT: Final = 0.8 * RETRY_BACKOFF
"""Seconds from which a commit may have sent EndTxn twice: librdkafka's jitter takes up to a fifth
off the back-off. The late EndTxn could commit half of the next transaction."""
ROOM_POLL: Final = 0.05
"""Seconds between two attempts while librdkafka's queue is full: each batch that
is sent makes room, and a lost lock must be noticed soon."""

LARGEST_ROOM: Final = 128 * 1024 * 1024
"""Bytes. The limits of topics do not enlarge librdkafka's queue beyond this: the brokers' default
of socket.request.max.bytes refuses a record of 100 MiB, and memory is bounded by the queue."""


def producer_settings(
    config: Kafka, publish: Publish, transactional_id: str, smallest: int, largest: int = 0
) -> dict[str, Any]:
    """Return the settings of a producer for topics with a smallest and a largest limit, in bytes.

    librdkafka does not check the limits of topics; the code that makes a record checks them. Its
    queue must have room for the largest record, or that record would wait forever.
    """
    room = max(
        32_768_000, publish.max_batch_bytes * 2, min(largest, LARGEST_ROOM) + RECORD_OVERHEAD
    )
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
        queue_buffering_max_kbytes=room // 1024 + 1,
        queue_buffering_max_messages=50_000,
        delivery_report_only_error=True,
        retry_backoff_ms=round(RETRY_BACKOFF * 1000),
        retry_backoff_max_ms=round(RETRY_BACKOFF * 1000),
    )
    owned.setdefault("socket.timeout.ms", min(60_000, timeout))
    reason: Reason = owned["logger"]
    return {**defaults, **owned, "on_delivery": reason.note_delivery}


class Producer(Protocol):
    """The producer that the publisher uses; `TransactionalProducer` is the real one.

    `waiting` is called with the seconds so far while the brokers do not answer.
    """

    def begin(self) -> None:
        """Begin a transaction."""

    def produce(self, records: Iterable[Record], waiting: Callable[[float], None] = ..., /) -> None:
        """Add records to the transaction."""

    def commit(self, waiting: Callable[[float], None] = ..., /) -> bool:
        """Commit; return whether the producer may be used again."""

    def abort(self) -> bool:
        """Abort; return whether the transaction is known to be aborted."""

    def drop(self) -> None:
        """Drop the producer without closing it."""


class TransactionalProducer:
    """One epoch of one transactional id; the publisher thread alone uses it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Create the client; nothing is sent yet.

        Raises:
            KafkaSettingInvalid: librdkafka does not accept a setting.

        """
        self._timeout = settings["transaction.timeout.ms"] / 1000
        self._room = settings["queue.buffering.max.kbytes"] * 1024
        self._identity = Asked("Write", f"transactional-id {settings['transactional.id']}")
        self.reason: Reason = settings["logger"]
        self._disconnections = 0  # until the producer has fenced
        with translated():
            self._producer = confluent_kafka.Producer(settings)

    def fence(self, stopping: Callable[[], bool], deadline: float = FENCE_TIMEOUT) -> None:
        """Fence every earlier producer and wait until its last transaction is decided.

        Raises:
            KafkaUnavailable: no answer within `deadline` seconds, or `stopping` returned true.
            KafkaRefused: the transactional id or its time-out is not allowed.

        """
        begun = time.monotonic()
        # If it is not connected, librdkafka asks for its coordinator half a second later.
        error_of(lambda: self._producer.list_topics(timeout=SLICE))
        while True:
            raised = error_of(lambda: self._producer.init_transactions(SLICE))
            if raised is None:
                self._disconnections = self.reason.disconnections
                return
            waited = time.monotonic() - begun
            if not _may_retry(raised) or waited >= deadline or stopping():
                raise _unavailable(self._unfenced(raised)) from raised
            check_credentials(self, waited)

    def _unfenced(self, raised: KafkaException | SystemError) -> SidecarError:
        """Return the error of a producer that could not fence."""
        if isinstance(raised, SystemError):
            return self._failure(raised)
        return translate(raised.args[0], self, self._identity)

    def poll(self, timeout: float, /) -> object:
        """Let librdkafka report its reasons."""
        return self._producer.poll(timeout)

    def begin(self) -> None:
        """Begin a transaction; the brokers learn of it with the first record.

        Raises:
            TransactionFailed: the producer cannot begin one in its present state.

        """
        self._check(error_of(self._producer.begin_transaction))

    def produce(
        self, records: Iterable[Record], waiting: Callable[[float], None] = lambda _seconds: None
    ) -> None:
        """Hand records to librdkafka.

        While its queue is full, `waiting` is called with the seconds so far.

        Raises:
            TransactionFailed: the transaction cannot continue.
            ProducerFenced: another producer took over, or the broker timed the transaction out.

        """
        begun = time.monotonic()

        def wait() -> bool:
            self._producer.poll(ROOM_POLL)
            self._keep_waiting(waiting, begun)
            return not len(self._producer)

        self._check(error_of(lambda: self._hand_on(records, wait)))
        self._check(error_of(lambda: self._producer.poll(0)))

    def _hand_on(self, records: Iterable[Record], wait: Callable[[], bool]) -> None:
        for topic, run in twin.runs_of(records):
            if topic is None or len(run) == 1:
                self._produce_each(run, wait)
            else:
                self._produce_run(topic, run, wait)

    def _keep_waiting(self, waiting: Callable[[float], None], begun: float) -> None:
        """Report the time that the brokers have taken.

        Raises:
            TransactionFailed: it is longer than the transaction may take.
            KafkaRefused: they refuse our credentials.

        """
        waited = time.monotonic() - begun
        waiting(waited)
        check_credentials(self, waited)
        if waited > self._timeout:
            raise too_slow(self.reason)

    def _produce_run(self, topic: str, run: list[Record], wait: Callable[[], bool]) -> None:
        """Hand on records of one topic in one call.

        With a call for each record, librdkafka would look up the topic by its name each time. It
        accepts as many records as its queue has room for, from the first one on, and marks the
        others.
        """
        messages, empty = twin.messages_of(run), False
        while (taken := self._producer.produce_batch(topic, messages)) < len(messages):
            check_full(messages, taken)
            if empty and not taken:
                raise too_large_for_queue(run[-len(messages)], self._room)
            messages = messages[taken:]
            empty = wait()

    def _produce_each(self, records: list[Record], wait: Callable[[], bool]) -> None:
        """Hand on records one by one: those that have a partition, a time or headers."""
        at, empty = 0, False
        while (taken := twin.produce_each(self._producer.produce, records, at)) < len(records):
            if empty and taken == at:
                raise too_large_for_queue(records[taken], self._room)
            at, empty = taken, wait()

    def commit(self, waiting: Callable[[float], None] = lambda _seconds: None) -> bool:
        """Commit; return whether the producer may be used again.

        It must not be used again if its EndTxn may have been sent twice, or if the connection to a
        broker was lost since it fenced: the transaction before this one may then hang. `waiting`
        is called every second with the seconds so far while the brokers do not answer.

        Raises:
            TransactionFailed: the outcome is unknown; the position decides.
            ProducerFenced: another producer took over, or the broker timed the transaction out.

        """
        begun = time.monotonic()
        self._deliver(waiting, begun)
        seconds = self._end(waiting, begun)
        return seconds < SLOW_COMMIT and self.reason.disconnections == self._disconnections

    def _end(self, waiting: Callable[[float], None], begun: float) -> float:
        """End the transaction, and return the seconds that this alone took."""
        started = time.monotonic()
        while raised := error_of(lambda: self._producer.commit_transaction(SLICE)):
            waited = time.monotonic() - begun
            waiting(waited)
            if not _may_retry(raised) or waited > self._timeout:
                self._check(raised)
            check_credentials(self, waited)
        return time.monotonic() - started

    def _deliver(self, waiting: Callable[[float], None], begun: float) -> None:
        """Wait until the brokers have every record."""
        self._check(error_of(lambda: self._producer.flush(SLICE)))
        while len(self._producer):
            self._keep_waiting(waiting, begun)
            self._check(error_of(lambda: self._producer.flush(SLICE)))

    def abort_on(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Abort a transaction that has one record on each topic partition.

        Its markers end a transaction of the same id that hangs there. The producer must not be
        used afterwards.

        Raises:
            TransactionFailed: the abort is in doubt.

        """
        self.begin()
        self.produce(Record(topic, b"", b"", partition) for topic, partition in partitions)
        self._deliver(lambda _seconds: None, time.monotonic())
        if not self.abort():
            raise TransactionFailed("the abort of a hanging transaction is in doubt")

    def abort(self, timeout: float = ABORT_TIMEOUT) -> bool:
        """Abort the open transaction; return whether it is known to be aborted."""
        raised = error_of(lambda: self._producer.abort_transaction(timeout))
        if raised:
            LOGGER.info("abort: %s", raised.args)
        return raised is None

    def drop(self) -> None:
        """Release librdkafka's producer with its threads and descriptors; no call may follow.

        A reference to this object, such as one in an error's traceback, then keeps none of them.
        """
        vars(self).pop("_producer", None)  # also if it was dropped before

    def _check(self, raised: KafkaException | SystemError | None) -> None:
        """Raise the translated error of the open transaction, if there is one."""
        if raised:
            raise self._failure(raised) from raised

    def _failure(self, raised: KafkaException | SystemError) -> SidecarError:
        """Translate an error of the open transaction; after any error its outcome is unknown.

        The code of a fatal error, which `produce` and `flush` do not report, is asked for.
        """
        if _is_fatal(raised):
            raised = error_of(lambda: self._producer.abort_transaction(SLICE)) or raised
        if isinstance(raised, SystemError):
            return TransactionFailed("a fatal error of librdkafka, without its code")
        return failure(self, raised.args[0])


def _may_retry(raised: KafkaException | SystemError) -> bool:
    return isinstance(raised, KafkaException) and bool(raised.args[0].retriable())


def _is_fatal(raised: KafkaException | SystemError) -> bool:
    if isinstance(raised, SystemError):
        return True
    error = raised.args[0]
    return bool(error.fatal()) or error.code() == KafkaError._FATAL  # noqa: SLF001 - its spelling


def _unavailable(error: SidecarError) -> SidecarError:
    if isinstance(error, TransactionFailed):
        return KafkaUnavailable(error.fact)
    return error
