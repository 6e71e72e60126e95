"""The reference for latency: a loop that only produces, without Postgres.

It is a process of its own, as the sidecar is; its arguments are those of `produce`. Each record
holds the time in microseconds at which it was due.
"""

import sys
import time
from typing import Final

from confluent_kafka import Producer

_CALL_SECONDS: Final = 10.0  # for one call to Kafka: on one machine it takes milliseconds
_PAUSE_SECONDS: Final = 0.001  # between two rounds: at 1,000 records a second one is due in each
_MICROSECONDS: Final = 1_000_000


def produce(broker: str, topic: str, rate: float, seconds: float, cadence: float) -> None:
    """Produce `rate` records and commit `cadence` transactions a second.

    The settings are the sidecar's defaults.
    """
    producer = Producer({
        "bootstrap.servers": broker, "transactional.id": topic, "linger.ms": 5,
        "compression.type": "lz4",
    })  # fmt: skip
    producer.init_transactions(_CALL_SECONDS)
    begun, sent, committed = time.time(), 0, time.time()
    while sent < rate * seconds:
        producer.begin_transaction()
        while time.time() < committed + 1 / cadence:
            sent = _produce_due(producer, topic, begun, sent, rate)
            time.sleep(_PAUSE_SECONDS)
        sent = _produce_due(producer, topic, begun, sent, rate)
        producer.commit_transaction(_CALL_SECONDS)
        committed = max(committed + 1 / cadence, time.time() - 1 / cadence)


def _produce_due(producer: Producer, topic: str, begun: float, sent: int, rate: float) -> int:
    """Produce every record that is due; return how many were produced since the start."""
    due = int((time.time() - begun) * rate)
    for number in range(sent, due):
        producer.produce(topic, b"%d" % ((begun + number / rate) * _MICROSECONDS), b"%d" % number)
    return due


if __name__ == "__main__":
    produce(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:6]))
