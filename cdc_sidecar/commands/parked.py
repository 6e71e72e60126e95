"""`cdc-sidecar parked`: shows the events that could not be published, and why."""

import json
import shlex
import signal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest
from pathlib import Path
from typing import Any, Final

import typer

from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config
from cdc_sidecar.kafka.parked import ParkedEvent, parked_topics, read_parked
from cdc_sidecar.logs import configure_quietly
from cdc_sidecar.postgres.sql_names import quote_literal, quoted
from cdc_sidecar.wording import number

_OPS: Final = {"c": "insert", "u": "update", "d": "delete", "r": "read", "m": "message"}

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
        KafkaUnavailable: the brokers cannot be reached.

    """
    config = load_config(path)
    configure_quietly()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    count = 0
    for event in _wanted(read_parked(config.kafka, parked_topics(config)), wishes):
        count += 1
        if wishes.as_json:
            typer.echo(json.dumps(_as_json(event), ensure_ascii=False))
        else:
            typer.echo("\n".join([*_lines(event, config), ""]))
    if not wishes.as_json:
        typer.echo(number(count, "parked event") if count else "nothing is parked", err=True)
    return 0


def _wanted(events: Iterable[ParkedEvent], wishes: Wishes) -> Iterable[ParkedEvent]:
    """Return the events of the wanted table or outbox; with a limit, the newest of them."""
    found = (event for event in events if wishes.name in (None, event.document["origin"]))
    if wishes.limit is None:
        return found
    return reversed(nlargest(wishes.limit, found, key=_moment))


def _moment(event: ParkedEvent) -> str:
    """Return when an event was committed; all are in UTC, with as many digits."""
    return str(event.document["committed_at"])


def _as_json(event: ParkedEvent) -> dict[str, Any]:
    place = {"topic": event.topic, "partition": event.partition, "offset": event.offset}
    return {**event.document, "parked": place}


def _lines(event: ParkedEvent, config: Config) -> Iterator[str]:
    document = event.document
    error, key = document["error"], document["key"]
    identity = "" if key is None else " ".join(f"{name}={_show(key[name])}" for name in key)
    op = _OPS.get(document["op"], document["op"])
    yield _printable(f"{document['origin']}  {op}  {identity}".rstrip())
    yield _printable(f"  {error['code']} {error['title']}: {error['fact']}")
    moment = datetime.fromisoformat(document["committed_at"]).astimezone()
    yield f"  when:  {moment:%Y-%m-%d %H:%M:%S}, at LSN {document['commit_lsn']}"
    yield f"  kept:  {event.topic}, partition {event.partition}, offset {event.offset}"
    if error.get("hint"):
        yield _printable(f"  mend:  {error['hint']}")
    again = _again(document, config)
    if again:
        yield f"  again: {again}"


def _again(document: Mapping[str, Any], config: Config) -> str:
    """Return how the event is sent again after its cause was mended."""
    if document["kind"] == "outbox":
        return "have the service emit the event once more"
    key = document["key"]
    if not key or not all(isinstance(value, str) for value in key.values()):
        return ""
    if document["op"] == "d":
        return "the row is gone: tell the readers of its topic to remove it"
    if _masked(config) & key.keys():
        return ""
    where = " AND ".join(f"{quoted(name)} = {quote_literal(value)}" for name, value in key.items())
    return f"cdc-sidecar snapshot start {shlex.quote(document['origin'])} --where {_word(where)}"


def _masked(config: Config) -> set[str]:
    """Return the columns of which only hashes are parked."""
    columns = (column for table in config.tables for column in table.column.items())
    return {name for name, column in columns if column.mask}


def _word(text: str) -> str:
    """Return a text as one word of a shell, as readable as it can be."""
    return shlex.quote(text) if _SPECIAL.intersection(text) else f'"{text}"'


def _show(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _printable(text: str) -> str:
    """Return a text without control characters, which could drive the terminal."""
    return "".join(character if character.isprintable() else "·" for character in text)
