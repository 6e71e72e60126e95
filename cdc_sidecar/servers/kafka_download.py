"""Fetches Kafka's jars once."""

from typing import Final

from cdc_sidecar.servers.kafka_jars import KAFKA_JARS, KAFKA_VERSION, TOTAL_BYTES
from cdc_sidecar.servers.maven import Bundle, fetched

_KAFKA: Final = Bundle(f"kafka-{KAFKA_VERSION}", f"Kafka {KAFKA_VERSION}", KAFKA_JARS, TOTAL_BYTES)


def kafka_class_path() -> str:
    """Return Java's class path of Kafka; fetch Kafka if the cache does not have it yet.

    The progress is printed to stderr.

    Raises:
        ServerFailed: the jars cannot be fetched.

    """
    return f"{fetched(_KAFKA)}/*"
