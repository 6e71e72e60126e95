"""The ledger of the topics that the sidecar created: records `topic/<name>` in the schemas topic.

A record is written after its topic was created, with the id that the broker gave it. A topic whose
record was lost in a crash is therefore missing from the ledger, and a topic that somebody created
again under the same name has another id. Teardown removes only topics whose id is in the ledger.
"""

import json
import time
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, Producer

from cdc_sidecar.config.model import Kafka
from cdc_sidecar.errors import KafkaUnavailable
from cdc_sidecar.events.registry.records import RECORD_VERSION, parsed
from cdc_sidecar.kafka.client import REQUEST_TIMEOUT, client_settings, translated
from cdc_sidecar.kafka.read import committed_reader, last_of_each_key, read_records

PREFIX: Final = b"topic/"


class Ledger:
    """The ledger of one service; written when topics are created, read when they are removed."""

    def __init__(self, config: Kafka, topic: str) -> None:
        self._config = config
        self._topic = topic

    def write(self, created: Mapping[str, str]) -> None:
        """Record topics that were just created, with their ids.

        The records are not part of the sidecar's transactions: a topic exists whether those commit
        or not.

        Raises:
            KafkaUnavailable: the brokers did not take a record; its topic is not in the ledger.

        """
        settings: dict[str, Any] = client_settings(self._config, acks="all")
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: object) -> None:
            if error is not None:
                failures.append(error)

        with translated():
            producer = Producer(settings)
            for name, identifier in created.items():
                key, value = PREFIX + name.encode(), _value(name, identifier)
                producer.produce(self._topic, value, key, 0, on_delivery=delivered)
            if producer.flush(REQUEST_TIMEOUT) or failures:
                raise KafkaUnavailable(f"topics {', '.join(created)} were created but not recorded")

    def read(self) -> dict[str, str]:
        """Return the topics that were created, each with its id; the schemas topic must exist.

        Raises:
            KafkaUnavailable: it cannot be read.
            SchemasUnreadable: a record is of another version, or malformed.

        """
        reader = committed_reader(self._config)
        try:
            records = read_records(reader, self._topic, 0, None)
            last = last_of_each_key(records)
            return dict(_parse(key, value) for key, value in last if key.startswith(PREFIX))
        finally:
            reader.close()


def is_of_the_ledger(key: object) -> bool:
    """Return whether a record with this key belongs to the ledger, and thus to no transaction."""
    return isinstance(key, bytes) and key.startswith(PREFIX)


def _value(name: str, identifier: str) -> bytes:
    made_at = time.time_ns() // 1000
    record = {"v": RECORD_VERSION, "topic": name, "id": identifier, "made_at": made_at}
    return json.dumps(record, separators=(",", ":")).encode()


def _parse(key: bytes, value: bytes) -> tuple[str, str]:
    with parsed(key, value) as record:
        return str(record["topic"]), str(record["id"])
