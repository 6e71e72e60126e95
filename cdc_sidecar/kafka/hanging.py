"""Hanging transactions: topic partitions on which an ended transaction still looks open.

A transaction coordinator that knows no leader of a partition treats the partition as deleted and
writes no marker there. Kafka 4.3.1 does so when a killed broker comes back: it aborts a transaction
of ours without writing its markers. Readers then wait forever at the first record of that
transaction, and the next commit of the same producer on that partition would make the aborted
records visible. An abort by the same producer ends the hanging transaction.
"""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Final

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec

from cdc_sidecar.errors import KafkaUnavailable
from cdc_sidecar.kafka.client import (
    PARTITION_EOF,
    REQUEST_TIMEOUT,
    Asked,
    answer_of,
    translate,
    translated,
)
from cdc_sidecar.kafka.read import Reader

Partition = tuple[str, int]
"""A topic partition: the topic's name and the number of the partition."""

PATIENCE: Final = 1.0
"""Seconds between two reads of a partition: a transaction of another producer that is merely open
makes progress in this time, because it commits or because more records arrive behind it."""
_PAUSE: Final = 0.1
"""Seconds before a partition without a leader is queried again: an election takes about as long."""
_READ_TIMEOUT: Final = 10.0
"""Seconds to wait for one record; a healthy broker answers a fetch in milliseconds."""


def find_hanging(admin: AdminClient, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """Return the partitions on which a transaction is open, each with the offset of its start.

    Call it after our own transactions have ended. A transaction that is still open then hangs, or
    belongs to another producer.

    Raises:
        KafkaUnavailable: the brokers do not answer.

    """
    first = _open(admin, partitions)
    if not first:
        return {}
    time.sleep(PATIENCE)
    second = _open(admin, first)
    return {partition: start for partition, start in second.items() if start == first[partition]}


def _open(admin: AdminClient, partitions: Iterable[Partition]) -> dict[Partition, int]:
    asked = list(partitions)
    stable = _ends(admin, asked, IsolationLevel.READ_COMMITTED)
    ends = _ends(admin, stable, IsolationLevel.READ_UNCOMMITTED)
    return {
        partition: stable[partition] for partition in ends if stable[partition] < ends[partition]
    }


def _ends(
    admin: AdminClient, partitions: Iterable[Partition], isolation: IsolationLevel
) -> Mapping[Partition, int]:
    """Return the end offset of each partition, and wait for leaders: new topics have none yet."""
    ends: dict[Partition, int] = {}
    missing = set(partitions)
    deadline = time.monotonic() + REQUEST_TIMEOUT
    while missing:
        answers = admin.list_offsets(
            {TopicPartition(*partition): OffsetSpec.latest() for partition in missing},
            isolation_level=isolation,
            request_timeout=REQUEST_TIMEOUT,
        )
        ends |= _known(admin, answers, last=time.monotonic() > deadline)
        missing -= ends.keys()
        time.sleep(_PAUSE if missing else 0)
    return ends


def _known(
    admin: AdminClient,
    answers: Mapping[TopicPartition, Future[ListOffsetsResultInfo]],
    *,
    last: bool,
) -> dict[Partition, int]:
    """Return the offsets that were answered; a partition without a leader is left out."""
    ends: dict[Partition, int] = {}
    for partition, answer in answers.items():
        asked = Asked("Describe", f"topic {partition.topic}")
        try:
            found = answer_of(answer, admin, asked)
        except KafkaUnavailable:
            if last:
                raise
        else:
            ends[partition.topic, partition.partition] = int(found.offset)
    return ends


def read_timestamp(reader: Reader, partition: Partition, offset: int) -> int:
    """Return the timestamp of the record at `offset`, in microseconds since 1970.

    Raises:
        KafkaUnavailable: the record did not arrive in time.

    """
    with translated(reader):
        reader.assign([TopicPartition(*partition, offset)])
    deadline = time.monotonic() + _READ_TIMEOUT
    while time.monotonic() < deadline:
        with translated(reader):
            message = reader.poll(1.0)
        error = message.error() if message else None
        if message and error is None:
            return int(message.timestamp()[1]) * 1000
        if error and error.code() != PARTITION_EOF and not error.retriable():
            asked = Asked("Read", f"topic {partition[0]}")
            raise translate(error, reader, asked) from KafkaException(error)
    topic, number = partition
    raise KafkaUnavailable(f"no record at offset {offset} of partition {number} of topic {topic}")
