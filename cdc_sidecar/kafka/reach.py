"""Waits until a broker answers a new client, and no longer than its refusal takes."""

import time
from typing import Final

from confluent_kafka import KafkaException

from cdc_sidecar.errors import KafkaRefused
from cdc_sidecar.kafka.client import Admin, error_of, translate

_SLICE: Final = 1.0
"""Seconds for one attempt: librdkafka reports a refusal outside of calls, so each call is short."""


def reach(admin: Admin, patience: float) -> None:
    """Wait until a broker answers, for `patience` seconds.

    Raises:
        KafkaUnavailable: no broker answers.
        KafkaRefused: a broker answers and refuses the client.

    """
    deadline = time.monotonic() + patience
    while True:
        raised = error_of(lambda: admin.list_topics(timeout=_SLICE))
        if not isinstance(raised, KafkaException):
            return
        error = translate(raised.args[0], admin)
        if isinstance(error, KafkaRefused) or time.monotonic() > deadline:
            raise error from raised
