"""`cdc-sidecar tail`: prints the events of the topics as lines of JSON."""

import json
import signal
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import TopicMissing
from cdc_sidecar.events.names import message_topic, topic_part
from cdc_sidecar.kafka.client import REQUEST_TIMEOUT, admin_client, translated
from cdc_sidecar.kafka.messages import DecodedMessage, MessageDecoder, Undecodable
from cdc_sidecar.kafka.read import assign, committed_reader, follow
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
    """Print events until `limit` are printed, `timeout` seconds pass without one, or Ctrl-C.

    Raises:
        TopicMissing: the topic does not exist, or the service has no topic yet.
        KafkaUnavailable: the brokers cannot be reached.

    """
    config = load_config(path)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    topics = [topic] if topic else topics_of(config)
    isolation = "read_committed" if committed else "read_uncommitted"
    consumer = committed_reader(config.kafka, isolation)
    try:
        assign(consumer, topics, from_beginning=from_beginning)
        decoder = MessageDecoder(CommittedSchemas(config).find)
        for message in islice(follow(consumer, timeout), limit):
            _print(as_json(decoder.decode(message)))
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()
    return 0


def _print(line: Mapping[str, Any]) -> None:
    print(json.dumps(line, ensure_ascii=False), flush=True)  # noqa: T201 - the command's output


def topics_of(config: Config) -> list[str]:
    """Return the existing topics that carry the service's events.

    Raises:
        TopicMissing: there are none.

    """
    admin = admin_client(config.kafka)
    with translated(admin):
        listed = admin.list_topics(timeout=REQUEST_TIMEOUT).topics
    service = topic_part(config.service.name)
    boxes = tuple(box.topic.split("{", 1)[0] for box in config.outboxes)
    known = (f"{service}.", message_topic(config.service.name))
    found = sorted(name for name in listed if name.startswith((*known, *boxes)))
    if not found:
        raise TopicMissing(
            f"service {config.service.name} has no topic yet",
            hint="start the sidecar and change a row",
        )
    return found


def as_json(message: DecodedMessage) -> dict[str, Any]:
    """Return a message as JSON can hold it."""
    shown = {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "key": _shown(message.key),
        "value": _shown(message.value),
    }
    if message.headers:
        shown["headers"] = {
            name: value.decode(errors="replace") if isinstance(value, bytes) else value
            for name, value in message.headers.items()
        }
    return shown


def _shown(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, Undecodable):
        return value.content.decode(errors="backslashreplace")
    return value
