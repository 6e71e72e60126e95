"""`cdc-sidecar parked`: shows the events that could not be published, and why."""

import json
import shlex
import signal
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import typer

from cdc_sidecar.commands.options import CONFIG
from cdc_sidecar.commands.tail_text import WORDS
from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import TopicMissing
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.kafka.parked import ParkedEvent, existing_parked_topics, read_parked
from cdc_sidecar.logs import configure_quietly
from cdc_sidecar.postgres.sql_names import quote_literal, quoted, similar
from cdc_sidecar.wording import number, printable

_SPECIAL: Final = frozenset('"$`\\!')
"""What a shell reads between double quotes."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of the command."""

    name: str | None
    limit: int | None
    as_json: bool


def parked(path: Path, wishes: Wishes) -> int:
    """Print the parked events, the oldest of each topic first.

    Raises:
        TopicMissing: no table and no outbox has the wanted name.
        KafkaUnavailable: the brokers cannot be reached.

    """
    config = load_config(path)
    configure_quietly()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    topics = existing_parked_topics(config)
    describer = _Describer(Capture.of(config), "" if path == CONFIG else f" --config {path}")
    count = 0
    for event in _wanted(read_parked(config.kafka, topics), wishes):
        count += 1
        typer.echo(_json(event) if wishes.as_json else describer.lines_of(event))
    if not count:
        typer.echo(_nothing(config, describer.capture, topics, wishes.name), err=True)
    elif not wishes.as_json:
        typer.echo(number(count, "parked event"), err=True)
    return 0


def _wanted(events: Iterable[ParkedEvent], wishes: Wishes) -> Iterable[ParkedEvent]:
    """Return the events of the wanted table or outbox; with a limit, the newest of them."""
    found = (event for event in events if wishes.name in (None, event.document["origin"]))
    if wishes.limit is None:
        return found
    newest: defaultdict[str, deque[ParkedEvent]] = defaultdict(lambda: deque(maxlen=wishes.limit))
    for event in found:
        newest[event.topic].append(event)
    left = [event for each in newest.values() for event in each]
    left.sort(key=lambda event: str(event.document["committed_at"]))
    return left[-wishes.limit :]


def _nothing(config: Config, capture: Capture, topics: list[str], name: str | None) -> str:
    """Return why nothing is shown.

    Raises:
        TopicMissing: there is no such table or outbox.

    """
    outboxes = [outbox.name for outbox in config.outboxes]
    if name and name not in outboxes and not capture.captures(name):
        known = [*(table.name for table in config.tables), *outboxes]
        near = similar(name, known)
        hint = f"did you mean {near}?" if near else f"name one of {', '.join(known)}"
        raise TopicMissing(f"no table or outbox {name} is configured", hint=hint)
    if not topics:
        return "nothing is parked: no topic of parked events exists, or none may be seen"
    return f"nothing of {name} is parked" if name else "nothing is parked"


def _json(event: ParkedEvent) -> str:
    place = {"topic": event.topic, "offset": event.offset}
    return json.dumps({**event.document, "parked": place}, ensure_ascii=False)


class _Describer:
    """Describes parked events for people."""

    def __init__(self, capture: Capture, option: str) -> None:
        """Describe what is captured; commands get an `option`, such as ` --config FILE`."""
        self.capture = capture
        self._option = option

    def lines_of(self, event: ParkedEvent) -> str:
        """Return the lines about an event, and an empty one."""
        return "\n".join([*map(printable, self._lines(event)), ""])

    def _lines(self, event: ParkedEvent) -> Iterator[str]:
        document = event.document
        error, key = document["error"], document["key"] or {}
        identity = " ".join(f"{name}={_show(value)}" for name, value in key.items())
        word, _ = WORDS.get(document["op"], (document["op"], ""))
        yield f"{document['origin']}  {word}  {identity}".rstrip()
        yield f"  {error['code']} {error['title']}: {error['fact']}"
        moment = datetime.fromisoformat(document["committed_at"]).astimezone()
        yield f"  when:  {moment:%Y-%m-%d %H:%M:%S}, at LSN {document['commit_lsn']}"
        yield f"  kept:  {event.topic}, offset {event.offset}"
        if error.get("hint"):
            first, *more = error["hint"].splitlines()
            yield f"  mend:  {first}"
            yield from (f"         {line}" for line in more)
        yield f"  again: {self._again(document)}"

    def _again(self, document: Mapping[str, Any]) -> str:
        """Return how the event is sent again after its cause was mended."""
        if document["kind"] == "outbox":
            return "have the service emit the event once more"
        if document["op"] == "d":
            return "the row is gone: tell the readers of its topic to remove it"
        reason = self._not_addressable(document)
        if reason:
            return f"cdc-sidecar snapshot start with a --where of your own: {reason}"
        origin, key = document["origin"], document["key"]
        where = _word(" AND ".join(f"{quoted(n)} = {quote_literal(v)}" for n, v in key.items()))
        command = f"cdc-sidecar snapshot start {shlex.quote(origin)} --where {where}{self._option}"
        before = document["before"] or {}
        if any(before.get(name, value) != value for name, value in key.items()):
            return f"{command}; the row had another key before: tell the readers to remove that one"
        return command

    def _not_addressable(self, document: Mapping[str, Any]) -> str:
        """Return why the key does not find the row; empty if it does."""
        key = document["key"]
        if not key:
            return "the row has no key"
        values = list(key.values())
        if not all(isinstance(value, str) and value.isprintable() for value in values):
            return "its key has NULL, or characters that cannot be printed"
        table = self.capture.table(document["origin"])
        if table and any(column.mask for name, column in table.column.items() if name in key):
            return "its key is masked"
        return ""


def _word(text: str) -> str:
    """Return a text as one word of a shell, as readable as it can be."""
    return shlex.quote(text) if _SPECIAL.intersection(text) else f'"{text}"'


def _show(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
