"""Partitions on which a transaction that has ended still seems open, and how it is ended there.

A coordinator that knows no leader of a partition takes it for deleted and writes no marker there.
Kafka 4.3.1 did so after a broker that was killed had come back: it aborted our transaction without
markers. Readers then wait at its first record for ever, and the next commit of the same producer
on that partition would make the aborted records visible. An abort of the same producer ends it.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from cdc_sidecar.errors import KafkaUnavailable
from cdc_sidecar.kafka.client import REQUEST_TIMEOUT, translate, translated
from cdc_sidecar.kafka.read import Reader

Place = tuple[str, int]
"""Topic and partition."""

PATIENCE: Final = 1.0  # seconds in which another producer's transaction may end
_PAUSE: Final = 0.1  # seconds before a place without a leader is asked for again
_READ_TIMEOUT: Final = 10.0  # seconds, of the first record of one


def find_left_open(admin: AdminClient, places: Iterable[Place]) -> dict[Place, int]:
    """Return the offset at which each place stands still, of those where a transaction is open.

    Called when our own transactions have ended: what is open is left open, or another producer's.

    Raises:
        KafkaUnavailable: no answer.

    """
    first = _open(admin, places)
    if not first:
        return {}
    time.sleep(PATIENCE)
    return {
        place: offset for place, offset in _open(admin, first).items() if offset == first[place]
    }


def _open(admin: AdminClient, places: Iterable[Place]) -> dict[Place, int]:
    asked = list(places)
    stable = _ends(admin, asked, IsolationLevel.READ_COMMITTED)
    ends = _ends(admin, stable, IsolationLevel.READ_UNCOMMITTED)
    return {place: stable[place] for place, end in ends.items() if stable[place] < end}


def _ends(
    admin: AdminClient, places: Iterable[Place], isolation: IsolationLevel
) -> Mapping[Place, int]:
    """Ask until each place has a leader that answers: a new topic has none at first."""
    ends: dict[Place, int] = {}
    missing = set(places)
    deadline = time.monotonic() + REQUEST_TIMEOUT
    while missing:
        answers = admin.list_offsets(
            {TopicPartition(*place): OffsetSpec.latest() for place in missing},
            isolation_level=isolation,
            request_timeout=REQUEST_TIMEOUT,
        )
        for partition, answer in answers.items():
            try:
                ends[partition.topic, partition.partition] = int(answer.result().offset)
            except KafkaException as exception:
                error = translate(exception.args[0])
                if not isinstance(error, KafkaUnavailable) or time.monotonic() > deadline:
                    raise error from exception
        missing -= ends.keys()
        time.sleep(_PAUSE if missing else 0)
    return ends


def read_time(reader: Reader, place: Place, offset: int) -> int:
    """Return when the record at `offset` was made, in microseconds since 1970.

    Raises:
        KafkaUnavailable: it did not come.

    """
    with translated():
        reader.assign([TopicPartition(*place, offset)])
    deadline = time.monotonic() + _READ_TIMEOUT
    while time.monotonic() < deadline:
        with translated():
            message = reader.poll(1.0)
        error = message.error() if message else None
        if message and error is None:
            return int(message.timestamp()[1]) * 1000
        if error and error.code() != KafkaError._PARTITION_EOF and not error.retriable():  # noqa: SLF001
            raise translate(error) from KafkaException(error)
    raise KafkaUnavailable(f"no record at offset {offset} of partition {place[1]} of {place[0]}")
