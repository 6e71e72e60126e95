"""`cdc-sidecar tail`: prints events as they arrive, for people on a terminal and else as JSON."""

import json
import shutil
import signal
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import typer

from cdc_sidecar.commands.tail_text import line_of
from cdc_sidecar.commands.tail_topics import TopicChoice
from cdc_sidecar.config.load import load_config
from cdc_sidecar.kafka.following import Follower
from cdc_sidecar.kafka.messages import DecodedMessage, MessageDecoder, Undecodable
from cdc_sidecar.kafka.read import Message
from cdc_sidecar.kafka.schemas import CommittedSchemas
from cdc_sidecar.logs import configure_quietly


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of the command."""

    topic: str | None
    committed: bool
    from_beginning: bool
    limit: int | None
    timeout: float | None
    as_json: bool


def tail(path: Path, wishes: Wishes) -> int:
    """Print events until the limit is reached, the time-out passes without one, or Ctrl-C.

    Raises:
        TopicMissing: the wanted topic does not exist.
        KafkaUnavailable: the brokers cannot be reached.

    """
    config = load_config(path)
    configure_quietly()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    isolation = "read_committed" if wishes.committed else "read_uncommitted"
    follower = Follower(config.kafka, isolation, TopicChoice(config, wishes.topic).choose)
    try:
        follower.begin(from_beginning=wishes.from_beginning)
        typer.echo(_announcement(follower.topics, config.service.name, wishes), err=True)
        decoder = MessageDecoder(CommittedSchemas(config).find)
        for_programs = wishes.as_json or not sys.stdout.isatty()
        for message in islice(follower.messages(wishes.timeout), wishes.limit):
            typer.echo(_line(decoder, message, for_programs=for_programs))
            sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    finally:
        follower.close()
    return 0


def _announcement(topics: list[str], service: str, wishes: Wishes) -> str:
    """Return the line that says what is read, so that silence is understood."""
    if not topics:
        return f"{service} has no topic yet; waiting for one (Ctrl-C ends)"
    what = topics[0] if len(topics) == 1 else f"{len(topics)} topics of {service}"
    if wishes.from_beginning:
        return f"reading {what} from the beginning, then waiting for more (Ctrl-C ends)"
    return (
        f"waiting for the next event of {what} (Ctrl-C ends; --from-beginning shows earlier ones)"
    )


def _line(decoder: MessageDecoder, message: Message, *, for_programs: bool) -> str:
    decoded = decoder.decode(message)
    if for_programs:
        return json.dumps(as_json(decoded), ensure_ascii=False)
    _, written = message.timestamp()
    return line_of(decoded, written, shutil.get_terminal_size().columns)


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
