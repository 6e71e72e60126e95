"""The Kafka client of a member: its configuration, its errors, and where a group begins."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from cdc_sidecar_client.consumer.errors import ConfigurationInvalid, KafkaFailed, OffsetLost
from cdc_sidecar_client.consumer.tables import Place

log = logging.getLogger("cdc_sidecar_client.consumer")

_SECONDS: Final = 30.0  # for answers of the broker about offsets
_OURS: Final = {
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # an offset that is gone is an error, never a jump
    # librdkafka 2.16 aborted the process when a member of a cooperative group was closed while
    # another one joined
    "partition.assignment.strategy": "range,roundrobin",
}
_DEFAULTS: Final = {
    # The topic of an aggregate type is created with its first event. Kafka's default is 5 minutes.
    "topic.metadata.refresh.interval.ms": 10_000,
}
_REFUSALS: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's names of its own errors
}


def client(servers: str, group: str, more: Mapping[str, Any]) -> Consumer:
    """Return a client that is not connected yet; `more` are settings of librdkafka.

    Raises:
        ConfigurationInvalid: `more` has a setting that must not be changed, or one that is unknown.

    """
    fixed = {"bootstrap.servers": servers, "group.id": group, **_OURS}
    for name in more:
        if name in fixed:
            raise ConfigurationInvalid(f"Kafka setting {name} must stay {fixed[name]!r}")
    try:
        return Consumer({**_DEFAULTS, **more, **fixed}, logger=log)
    except (KafkaException, ValueError, TypeError) as error:
        raise ConfigurationInvalid(f"Kafka settings: {error}") from error


def check(message: Message) -> bool:
    """Return whether a message is a record and not a passing error.

    Raises:
        OffsetLost: the next record is gone.
        KafkaFailed: the client cannot go on.

    """
    error = message.error()
    if error is None:
        return True
    if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - as above
        raise OffsetLost(
            f"{message.topic()} [{message.partition()}]: {error.str()}",
            hint="the records were deleted before they were read, or the topic was created anew."
            " Set next_offset in consumer_offsets, or delete the rows of the topic to begin again",
        )
    if error.fatal() or error.code() in _REFUSALS:
        raise KafkaFailed(f"{error.name()}: {error.str()}", hint="see the message of Kafka above")
    log.warning("kafka_error %s: %s", error.name(), error.str())
    return False


def first_offsets(
    consumer: Consumer, topic: str, known: Iterable[Place], start: Literal["earliest", "latest"]
) -> dict[Place, int]:
    """Return where to begin on each partition of a topic that is not among the `known` ones.

    If the group has no offset of the topic at all, it begins at the offsets that it has committed
    to Kafka, and else at `start`. A partition that was added later begins with its first record.
    """
    metadata = consumer.list_topics(topic, timeout=_SECONDS).topics[topic]
    missing = {(topic, number) for number in metadata.partitions} - set(known)
    is_new = len(missing) == len(metadata.partitions)
    asked = [TopicPartition(*place) for place in sorted(missing)]
    committed = consumer.committed(asked, timeout=_SECONDS) if is_new else asked
    found = {}
    for partition in committed:
        offset = partition.offset if is_new else OFFSET_INVALID
        if offset < 0:
            low, high = consumer.get_watermark_offsets(partition, timeout=_SECONDS)
            offset = high if is_new and start == "latest" else low
        found[partition.topic, partition.partition] = offset
    return found
