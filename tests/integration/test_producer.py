"""Runs of records reach Kafka whole and in order, even if librdkafka's queue is small."""

import uuid
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewTopic

from cdc_sidecar.config.model import Kafka, Publish
from cdc_sidecar.errors import TransactionFailed
from cdc_sidecar.events.record import Record
from cdc_sidecar.kafka.producer import TransactionalProducer, producer_settings
from cdc_sidecar.servers.kafka import KafkaBroker
from tests.topics import make_topics

_RUN = 40  # records that are handed over together: several topics have theirs in turn
_RECORDS = 2_000  # more than librdkafka's queue in these tests holds


def _topics(kafka: KafkaBroker, count: int) -> list[str]:
    """Make topics of one partition; return their names."""
    names = [f"run-{uuid.uuid4()}" for _ in range(count)]
    make_topics(kafka.bootstrap_servers, *(NewTopic(name, 1, 1) for name in names))
    return names


def _producer(kafka: KafkaBroker, **changed: object) -> TransactionalProducer:
    config = Kafka.model_validate({"bootstrap_servers": kafka.bootstrap_servers})
    settings = producer_settings(config, Publish(), str(uuid.uuid4()), smallest=1_000_000)
    settings |= {name.replace("_", "."): value for name, value in changed.items()}
    producer = TransactionalProducer(settings)
    producer.fence(stopping=lambda: False)
    return producer


def _read(kafka: KafkaBroker, topic: str, count: int) -> list[tuple[Any, Any]]:
    consumer = Consumer({
        "bootstrap.servers": kafka.bootstrap_servers, "group.id": topic,
        "auto.offset.reset": "earliest", "isolation.level": "read_committed",
    })  # fmt: skip
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages = consumer.consume(count, timeout=60)
    consumer.close()
    return [(message.key(), message.value()) for message in messages]


def test_runs_that_do_not_fit_are_handed_on_in_order_as_room_comes(kafka: KafkaBroker) -> None:
    names = _topics(kafka, 2)
    records = [
        Record(
            names[number // _RUN % 2],
            None if number % 7 == 0 else b"value %d" % number,
            b"%d" % number,
        )
        for number in range(_RECORDS)
    ]
    # with an explicit partition, in the middle of a run
    records[500] = replace(records[500], partition=0)
    records[900] = Record(names[900 // _RUN % 2], b"without a key", None)
    waits: list[float] = []
    producer = _producer(kafka, queue_buffering_max_messages=_RUN - 3)
    producer.begin()
    producer.produce(records, waits.append)
    assert producer.commit()
    assert waits
    for name in names:
        sent = [(record.key, record.value) for record in records if record.topic == name]
        assert _read(kafka, name, len(sent)) == sent


def test_a_run_with_a_record_that_librdkafka_refuses_fails_the_transaction(
    kafka: KafkaBroker,
) -> None:
    (name,) = _topics(kafka, 1)
    producer = _producer(kafka, message_max_bytes=2_000, batch_size=1_000)
    producer.begin()
    with pytest.raises(TransactionFailed, match="MSG_SIZE_TOO_LARGE"):
        producer.produce([Record(name, b"x" * size, b"k") for size in (10, 5_000, 10)])
    assert producer.abort()
