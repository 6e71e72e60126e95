"""The yardstick of latency: rows produced at a rate, in transactions of a cadence, no Postgres.

A process of its own, as the sidecar is; its arguments are those of `produce`.
Each record is the time, in microseconds, at which its row was due.
"""

import sys
import time
from typing import Final

from confluent_kafka import Producer

_SLICE: Final = 10.0
_MICROSECONDS: Final = 1_000_000


def produce(broker: str, topic: str, rate: float, seconds: float, cadence: float) -> None:
    """Produce; `cadence` is in transactions a second. The settings are the sidecar's defaults."""
    producer = Producer({
        "bootstrap.servers": broker, "transactional.id": topic, "linger.ms": 5,
        "compression.type": "lz4",
    })  # fmt: skip
    producer.init_transactions(_SLICE)
    begun, sent, committed = time.time(), 0, time.time()
    while sent < rate * seconds:
        producer.begin_transaction()
        while time.time() < committed + 1 / cadence:
            sent = _produce_due(producer, topic, begun, sent, rate)
            time.sleep(0.001)
        sent = _produce_due(producer, topic, begun, sent, rate)
        producer.commit_transaction(_SLICE)
        committed = max(committed + 1 / cadence, time.time() - 1 / cadence)


def _produce_due(producer: Producer, topic: str, begun: float, sent: int, rate: float) -> int:
    """Produce every row that is due; return how many there are by now."""
    due = int((time.time() - begun) * rate)
    for number in range(sent, due):
        producer.produce(topic, b"%d" % ((begun + number / rate) * _MICROSECONDS), b"%d" % number)
    return due


if __name__ == "__main__":
    produce(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:6]))
