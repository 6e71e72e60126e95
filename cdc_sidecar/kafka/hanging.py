"""Hanging transactions: topic partitions on which an ended transaction still looks open.

A transaction coordinator that knows no leader of a partition treats the partition as deleted and
writes no marker there. Kafka 4.3.1 does so when a killed broker comes back: it aborts or commits a
transaction of ours without writing its markers. Readers then wait forever at the first record of
that transaction. The next commit of the same producer on that partition would make aborted records
visible, and its next abort would remove committed ones. A claim therefore ends hanging transactions
before the sidecar sends anything.
"""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec

from cdc_sidecar.errors import KafkaUnavailable
from cdc_sidecar.kafka.client import REQUEST_TIMEOUT, Asked, answer_of

Partition = tuple[str, int]
"""A topic partition: the topic's name and the number of the partition."""

PATIENCE: Final = 1.0
"""Seconds between two reads of a partition: a transaction of another producer that is merely open
makes progress in this time, because it commits or because more records arrive behind it."""
_PAUSE: Final = 0.1
"""Seconds before a partition without a leader is queried again: an election takes about as long."""


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Records of a topic partition, from offset `start` up to offset `end`, which is not included.

    That of a hanging transaction is from its first record to the end of the partition.
    """

    topic: str
    number: int
    start: int
    end: int

    @property
    def partition(self) -> Partition:
        """The topic partition."""
        return self.topic, self.number


def find_hanging(admin: AdminClient, partitions: Iterable[Partition]) -> list[OffsetRange]:
    """Return where a transaction is open on some of the partitions, in their order.

    Call it after our own transactions have ended. A transaction that is still open then hangs, or
    belongs to another producer.

    Raises:
        KafkaUnavailable: the brokers do not answer.

    """
    first = _open(admin, partitions)
    if not first:
        return []
    time.sleep(PATIENCE)
    starts = {place.partition: place.start for place in first}
    return [place for place in _open(admin, starts) if place.start == starts[place.partition]]


def _open(admin: AdminClient, partitions: Iterable[Partition]) -> list[OffsetRange]:
    asked = list(partitions)
    stable = stable_ends(admin, asked)
    ends = _ends(admin, stable, IsolationLevel.READ_UNCOMMITTED)
    return [
        OffsetRange(*partition, stable[partition], ends[partition])
        for partition in sorted(ends)
        if stable[partition] < ends[partition]
    ]


def stable_ends(admin: AdminClient, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
    """Return the last stable offset of each partition: up to it, every transaction has ended.

    Raises:
        KafkaUnavailable: the brokers do not answer.

    """
    return _ends(admin, partitions, IsolationLevel.READ_COMMITTED)


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
