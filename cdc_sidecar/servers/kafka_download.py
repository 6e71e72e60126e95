"""Kafka's jars, fetched once."""

from typing import Final

from cdc_sidecar.servers.kafka_jars import KAFKA_JARS, KAFKA_VERSION, TOTAL_BYTES
from cdc_sidecar.servers.maven import Bundle, fetched

_KAFKA: Final = Bundle(f"kafka-{KAFKA_VERSION}", f"Kafka {KAFKA_VERSION}", KAFKA_JARS, TOTAL_BYTES)


def kafka_class_path() -> str:
    """Return Java's class path of Kafka, fetched on the first call in the life of the cache.

    Progress goes to stderr. Raises ServerFailed if the jars cannot be had.
    """
    return f"{fetched(_KAFKA)}/*"
