"""An error that librdkafka raises inside a transaction ends the session, never the process."""

import gc
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import confluent_kafka
import pytest
from confluent_kafka import KafkaError

from cdc_sidecar.config.model import Kafka, Publish
from cdc_sidecar.errors import KafkaUnavailable, RecordTooLarge, TransactionFailed
from cdc_sidecar.events.record import ANY_PARTITION, Record
from cdc_sidecar.kafka.producer import LARGEST_ROOM, TransactionalProducer, producer_settings
from cdc_sidecar.runtime.memory import forget_frames
from tests.unit import shop, wire
from tests.waiting import await_true


class Crashing:
    """librdkafka after a fatal error and another log line; it does not report the cause."""

    def crash(self, *_arguments: object) -> NoReturn:
        """Raise what confluent-kafka raises."""
        raise SystemError

    flush = poll = produce = crash

    def abort_transaction(self, _timeout: float) -> None:
        """Abort; the library would keep whatever is handled now."""
        assert sys.exc_info() == (None, None, None)


class Accepting:
    """librdkafka with room for everything; keeps how it was called."""

    def __init__(self) -> None:
        """Begin without calls."""
        self.calls: list[object] = []

    def produce_batch(self, topic: str, messages: list[dict[str, object]]) -> int:
        """Accept records of one topic."""
        self.calls.append((topic, [(message["value"], message["key"]) for message in messages]))
        return len(messages)

    def produce(self, *arguments: object) -> None:
        """Accept one record."""
        self.calls.append(arguments)

    def poll(self, _timeout: float) -> None:
        """Do nothing."""


def _producer(client: object) -> TransactionalProducer:
    """Return a producer on a client that stands in for librdkafka's."""
    config = Kafka.model_validate({"bootstrap_servers": "127.0.0.1:1"})
    settings = producer_settings(config, Publish(), "t", smallest=1_000_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(confluent_kafka, "Producer", lambda _settings: client)
        return TransactionalProducer(settings)


def test_neighbours_of_one_topic_are_handed_on_together_and_all_others_alone() -> None:
    client = Accepting()
    headers = [("id", b"7")]
    _producer(client).produce(
        [
            Record("a", b"1", b"k"),
            Record("a", None, b"k"),
            Record("a", b"3", b"k", 2),
            Record("a", b"4", b"k", headers=headers),
            Record("b", b"5", None),
            Record("a", b"6", b"k"),
            Record("a", b"7", b"k"),
        ]
    )
    assert client.calls == [
        ("a", [(b"1", b"k"), (None, b"k")]),
        ("a", b"3", b"k", 2, None, None, 0, None),
        ("a", b"4", b"k", ANY_PARTITION, None, None, 0, headers),
        ("b", b"5", None, ANY_PARTITION, None, None, 0, None),
        ("a", [(b"6", b"k"), (b"7", b"k")]),
    ]


def test_events_of_either_twin_are_handed_on_in_whole_runs() -> None:
    session = shop.Shop(shop.ORDERS, tables=[shop.table()])
    insert = wire.insert(shop.ORDERS.oid, shop.ORDER_ROW)
    records = session.transaction(wire.relation(shop.ORDERS.relation), *[insert] * 5).records
    client = Accepting()
    _producer(client).produce(records)
    expected = [(record.value, record.key) for record in records]
    assert client.calls == [("shop.public.orders", expected)]


def test_a_fatal_error_that_is_logged_on_is_a_failed_transaction() -> None:
    producer = _producer(Crashing())
    with pytest.raises(TransactionFailed) as failed:
        producer.commit()
    assert failed.value.__cause__
    assert failed.value.__cause__.__traceback__ is None, "the library keeps it with its frames"
    with pytest.raises(TransactionFailed):
        producer.produce([Record("t", b"", None)])


def _client_threads() -> set[str]:
    """Return the ids of librdkafka's threads; some may end while they are read."""
    found = set()
    for path in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):
            if path.read_text(encoding="ascii").startswith("rdk:"):
                found.add(path.parent.name)
    return found


def test_a_producer_that_was_dropped_leaves_no_thread_though_its_error_is_kept() -> None:
    config = Kafka.model_validate({"bootstrap_servers": "127.0.0.1:1"})
    before = _client_threads()
    gc.disable()
    try:
        producer = TransactionalProducer(producer_settings(config, Publish(), "t", smallest=1000))
        with pytest.raises(KafkaUnavailable) as kept:
            producer.fence(lambda: True)
        own = _client_threads() - before
        assert own
        producer.drop()
        forget_frames(kept.value)
        await_true(lambda: not own & _client_threads(), what="the client's threads have ended")
        assert kept.value.__traceback__
    finally:
        gc.enable()


class Full:
    """librdkafka with a queue that is empty and has no room for a record."""

    def __len__(self) -> int:
        """Return the number of records in the queue."""
        return 0

    def produce(self, *_arguments: object) -> NoReturn:
        """Refuse a record."""
        raise BufferError

    def produce_batch(self, _topic: str, messages: list[dict[str, object]]) -> int:
        """Refuse records."""
        for message in messages:
            message["_error"] = KafkaError(KafkaError._QUEUE_FULL)  # noqa: SLF001 - its spelling
        return 0

    def poll(self, _timeout: float) -> None:
        """Make no room."""


@pytest.mark.parametrize("records", [1, 2], ids=["alone", "in a run"])
def test_a_record_that_does_not_fit_into_the_queue_is_named_and_never_waited_for(
    records: int,
) -> None:
    with pytest.raises(TransactionFailed, match="9 bytes for topic t") as failed:
        _producer(Full()).produce([Record("t", b"12345678", b"k")] * records)
    assert isinstance(failed.value.final, RecordTooLarge)
    assert "publish.max_batch_bytes" in failed.value.final.hint


def test_the_queue_has_room_for_the_largest_record_that_a_topic_takes() -> None:
    config = Kafka.model_validate({"bootstrap_servers": "127.0.0.1:1"})

    def room(largest: int) -> int:
        settings = producer_settings(config, Publish(), "t", smallest=1000, largest=largest)
        return int(settings["queue.buffering.max.kbytes"]) * 1024

    assert room(0) == room(1_000_000)
    assert room(50_000_000) > 50_000_000
    assert room(2**31 - 1) == room(LARGEST_ROOM), "memory is bounded"
