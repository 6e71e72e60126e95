"""One line for a person about one event: time, operation, table, key and changed fields."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import typer

from cdc_sidecar.events.parking.document import PARKED
from cdc_sidecar.kafka.messages import DecodedMessage, Undecodable
from cdc_sidecar.wording import printable

WORDS: Final = {
    "c": ("insert", "green"),
    "u": ("update", "yellow"),
    "d": ("delete", "red"),
    "r": ("read", "cyan"),
    "t": ("truncate", "magenta"),
    "m": ("message", "cyan"),
}
"""The word for each operation, and its colour."""
_OP_WIDTH: Final = 9
_TIME_WIDTH: Final = 12  # 12:03:04.123


def line_of(message: DecodedMessage, written: int, width: int) -> str:
    """Return the line, cut to the width of the terminal; the operation has a colour.

    `written` is the time of the record, in milliseconds since 1970.
    """
    when = _time(message, written)
    word, colour, rest = _parts(message)
    plain = _cut(" ".join([when, f"{word:<{_OP_WIDTH}}", *rest]), width)
    start = _TIME_WIDTH + 1
    end = start + _OP_WIDTH
    return plain[:start] + typer.style(plain[start:end], fg=colour) + plain[end:]


def _cut(text: str, width: int) -> str:
    """Return a text that fits the width, without control characters."""
    shown = printable(text)
    return shown if len(shown) <= width else shown[: width - 1] + "…"


def _time(message: DecodedMessage, written: int) -> str:
    """Return the local time of the commit, or that of the record if it is no change of a row."""
    value = message.value
    source = value.get("source") if isinstance(value, dict) else None
    milliseconds = source["ts_ms"] if isinstance(source, dict) else written
    moment = datetime.fromtimestamp(milliseconds / 1000).astimezone()
    return moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03}"


def _parts(message: DecodedMessage) -> tuple[str, str | None, Iterator[str]]:
    value = message.value
    if PARKED in message.headers:
        return "parked", "red", _parked(message)
    if isinstance(value, dict) and isinstance(value.get("source"), dict):
        word, colour = WORDS.get(str(value.get("op")), (str(value.get("op")), "white"))
        return word, colour, _change(message, value)
    if isinstance(value, dict) and value.get("status") in ("BEGIN", "END"):
        return str(value["status"]).lower(), None, _transaction(message, value)
    if value is None and not message.headers:
        return "tombstone", "red", iter([message.topic, *_key(message.key)])
    return "event", "green", _event(message)


def _change(message: DecodedMessage, value: Mapping[str, Any]) -> Iterator[str]:
    source = value["source"]
    if value.get("op") == "m":
        yield from _fields(value["message"])
        return
    yield f"{source['schema']}.{source['table']}"
    key = message.key if isinstance(message.key, dict) else {}
    yield from _fields(key)
    yield from _changed(value, key)
    if value.get("unchanged"):
        yield f"(unchanged: {', '.join(value['unchanged'])})"


def _changed(value: Mapping[str, Any], key: Mapping[str, Any]) -> Iterator[str]:
    """Yield what an insert or an update wrote; an update without an old row wrote any field."""
    before, after = value.get("before"), value.get("after")
    if not isinstance(after, dict):
        return
    for name, now in after.items():
        if name in key or name in value.get("unchanged", ()):
            continue
        if value.get("op") != "u":
            if now is not None:
                yield f"{name}={_show(now)}"
        elif not isinstance(before, dict):
            yield f"{name}={_show(now)}"
        elif before.get(name) != now:
            yield f"{name}={_show(before.get(name))}→{_show(now)}"


def _parked(message: DecodedMessage) -> Iterator[str]:
    value = message.value
    if not isinstance(value, dict):
        yield message.topic
        yield f"part of an event, {value}"
        return
    yield str(value["origin"])
    yield from _key(message.key)
    yield f"{value['error']['code']} {value['error']['fact']}"


def _transaction(message: DecodedMessage, value: Mapping[str, Any]) -> Iterator[str]:
    yield message.topic
    yield str(value.get("id"))
    if value.get("event_count") is not None:
        yield f"{value['event_count']} events"


def _event(message: DecodedMessage) -> Iterator[str]:
    """Yield an event of an outbox, or a record that is not one of ours."""
    yield message.topic
    yield from _key(message.key)
    for name, content in message.headers.items():
        text = content.decode(errors="replace") if isinstance(content, bytes) else content
        yield f"{name}={text}"
    yield _show(message.value)


def _key(key: object) -> Iterator[str]:
    if isinstance(key, dict):
        yield from _fields(key)
    elif key is not None:
        yield _show(key)


def _fields(row: Mapping[str, Any]) -> Iterator[str]:
    for name, value in row.items():
        yield f"{name}={_show(value)}"


def _show(value: object) -> str:
    if isinstance(value, Undecodable):
        return f"({len(value.content)} bytes: {value.error.fact})"
    return json.dumps(value, ensure_ascii=False)
