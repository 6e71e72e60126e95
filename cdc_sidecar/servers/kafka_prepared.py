"""Prepares Kafka once for every later broker.

A first broker runs for a few seconds. What is kept of it in the cache are its classes, loaded and
linked, and the first metadata of a cluster. Measured: a broker's start and its first transaction
take 1.7 s of CPU instead of 4.1 s.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from cdc_sidecar.servers.kafka import CHECKPOINT, CLASSES, KafkaBroker
from cdc_sidecar.servers.kafka_download import prepared_folder
from cdc_sidecar.servers.maven import made_once
from cdc_sidecar.servers.process import Program, ServerProcess

_TOPIC: Final = "first"
_SECONDS: Final = 30.0  # for each request: the first ones of a broker take a second


def prepare_kafka() -> None:
    """Prepare Kafka, unless the cache has it. Takes about ten seconds.

    Raises:
        ServerFailed: Kafka cannot be fetched or does not run.

    """
    made_once(prepared_folder(), _fill)


def _fill(folder: Path) -> None:
    with _FirstBroker(folder / CLASSES) as broker:
        shutil.copyfile(broker.data_folder / CHECKPOINT, folder / CHECKPOINT)
        _use(broker.bootstrap_servers)
        broker.stop()


class _FirstBroker(KafkaBroker):
    """Writes its classes into a file when it stops in order."""

    def __init__(self, classes: Path) -> None:
        super().__init__()
        self._classes = classes

    def _launch(self, program: Program) -> ServerProcess:
        java, *rest = program.command
        recording = [java, f"-XX:AOTCacheOutput={self._classes}", *rest]
        return super()._launch(replace(program, command=recording))


def _use(servers: str) -> None:
    """Make a topic, publish to it and read it, so that the broker loads the classes for that."""
    client: dict[str, str | int | float | bool] = {"bootstrap.servers": servers, "log_level": 0}
    admin = AdminClient(client)
    for made in admin.create_topics([NewTopic(_TOPIC, 1, 1)]).values():
        made.result(_SECONDS)
    producer = Producer({**client, "transactional.id": _TOPIC, "compression.type": "lz4"})
    producer.init_transactions(_SECONDS)
    for finish in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        producer.produce(_TOPIC, _TOPIC)
        producer.flush(_SECONDS)
        finish(_SECONDS)
    reader = {"group.id": _TOPIC, "auto.offset.reset": "earliest"}
    consumer = Consumer({**client, **reader, "isolation.level": "read_committed"})
    consumer.subscribe([_TOPIC])
    consumer.consume(1, timeout=_SECONDS)
    consumer.close()
    for removed in admin.delete_topics([_TOPIC]).values():
        removed.result(_SECONDS)
