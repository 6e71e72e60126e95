"""`cdc-sidecar tail`: the events of the topics as JSON lines, decoded by fastavro."""

import json
import signal
from itertools import islice
from pathlib import Path
from typing import Any

from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import SchemasUnreadable, TopicMissing
from cdc_sidecar.events.names import message_topic, topic_part
from cdc_sidecar.events.reader import EventReader
from cdc_sidecar.kafka.client import REQUEST_TIMEOUT, admin_client, translated
from cdc_sidecar.kafka.read import (
    Message,
    assign,
    committed_reader,
    follow,
)
from cdc_sidecar.kafka.schemas import CommittedSchemas


def tail(
    path: Path,
    topic: str | None,
    *,
    committed: bool,
    from_beginning: bool,
    limit: int | None,
    timeout: float | None,
) -> int:
    """Print events until `limit`, until nothing came for `timeout` seconds, or until stopped.

    Raises:
        TopicMissing: there is no such topic, or none of the service yet.
        KafkaUnavailable: the brokers cannot be reached.

    """
    config = load_config(path)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    topics = [topic] if topic else topics_of(config)
    isolation = "read_committed" if committed else "read_uncommitted"
    consumer = committed_reader(config.kafka, isolation)
    try:
        assign(consumer, topics, from_beginning=from_beginning)
        decoder = Decoder(config)
        for message in islice(follow(consumer, timeout), limit):
            print(json.dumps(decoder.decode(message), ensure_ascii=False), flush=True)  # noqa: T201
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()
    return 0


def topics_of(config: Config) -> list[str]:
    """Return the existing topics that carry the service's events.

    Raises:
        TopicMissing: there is none yet.

    """
    with translated():
        listed = admin_client(config.kafka).list_topics(timeout=REQUEST_TIMEOUT).topics
    service = topic_part(config.service.name)
    boxes = tuple(box.topic.split("{", 1)[0] for box in config.outboxes)
    known = (f"{service}.", message_topic(config.service.name))
    found = sorted(name for name in listed if name.startswith((*known, *boxes)))
    if not found:
        raise TopicMissing(
            f"no topic of service {config.service.name}", hint="start the sidecar, change a row"
        )
    return found


class Decoder:
    """Decodes messages with the service's schemas topic."""

    def __init__(self, config: Config) -> None:
        self._reader = EventReader(CommittedSchemas(config).find)

    def decode(self, message: Message) -> dict[str, Any]:
        """Return a message as JSON can hold it: place, key, value and headers."""
        decoded = {
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "key": self._read(message.key()),
            "value": self._read(message.value()),
        }
        headers = message.headers()
        if headers:
            decoded["headers"] = {
                name: value.decode(errors="replace") if isinstance(value, bytes) else value
                for name, value in list(headers)
            }
        return decoded

    def _read(self, framed: str | bytes | None) -> Any:  # noqa: ANN401 - whatever the schema says
        if framed is None:
            return None
        content = framed.encode() if isinstance(framed, str) else framed
        try:
            return self._reader.read(content)
        except SchemasUnreadable:
            return content.decode(errors="backslashreplace")
