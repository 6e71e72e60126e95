"""A transaction that looks open is found with its topic partition, until it has ended."""

import uuid

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from cdc_sidecar.config.model import Kafka, Publish
from cdc_sidecar.kafka.hanging import OffsetRange, find_hanging
from cdc_sidecar.kafka.producer import TransactionalProducer, producer_settings
from cdc_sidecar.kafka.read import high_watermark
from cdc_sidecar.servers.kafka import KafkaBroker
from tests.topics import make_topic
from tests.waiting import await_true


def _config(kafka: KafkaBroker) -> Kafka:
    return Kafka.model_validate({"bootstrap_servers": kafka.bootstrap_servers})


def _claimed(kafka: KafkaBroker, transactional_id: str) -> TransactionalProducer:
    settings = producer_settings(_config(kafka), Publish(), transactional_id, smallest=1_000_000)
    producer = TransactionalProducer(settings)
    producer.fence(stopping=lambda: False)
    return producer


def test_an_open_transaction_is_found_where_it_stands_until_it_has_ended(
    kafka: KafkaBroker,
) -> None:
    topic, admin = (
        f"hanging-{uuid.uuid4()}",
        AdminClient({"bootstrap.servers": kafka.bootstrap_servers}),
    )
    make_topic(kafka.bootstrap_servers, topic, partitions=2)
    partitions = [(topic, 0), (topic, 1)]
    assert find_hanging(admin, partitions) == []

    other = Producer({
        "bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic, "linger.ms": 0,
    })  # fmt: skip
    other.init_transactions(30)
    for number in range(2):
        other.begin_transaction()
        other.produce(topic, b"value", b"key", 1)
        other.flush(30)
        if number == 0:
            other.commit_transaction(30)
    await_true(
        lambda: find_hanging(admin, partitions) == [OffsetRange(topic, 1, 2, 3)],
        what="the open transaction is found",
    )

    producer = _claimed(kafka, topic)  # fences it, and has its transaction aborted
    assert find_hanging(admin, partitions) == []
    producer.abort_on(partitions)
    assert find_hanging(admin, partitions) == []
    assert high_watermark(admin, topic) == 2, "a record and the marker of its abort"
