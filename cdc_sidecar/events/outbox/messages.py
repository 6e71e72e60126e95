"""Outbox events without a table: `pg_logical_emit_message` with a small JSON object.

The members of the object are the columns of an outbox. `payload` is the JSON value itself; with
`payload_as` it is a string that holds a text, or bytes in base64.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Final, NoReturn

from cdc_sidecar.errors import OutboxUnroutable
from cdc_sidecar.events.outbox.router import EventRouter
from cdc_sidecar.events.ports import SourceTransaction

_SPACES: Final = frozenset(" \t\n\r")


def _refuse(name: str) -> NoReturn:
    message = f"{name} without quotes"
    raise ValueError(message)


_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse)


class MessageRouter:
    """Makes events of the messages of one prefix; `wanted` are the members by their roles."""

    def __init__(
        self, router: EventRouter, wanted: Mapping[str, tuple[str, ...]], *, payload_as: str | None
    ) -> None:
        self._router = router
        self._wanted = wanted
        self._payload_as = payload_as

    def add(self, transaction: SourceTransaction, content: bytes) -> None:
        """Add the event of a message.

        Raises:
            OutboxEventRefused: the message is not a JSON object with the members of an event, or
                its payload does not fit.
            RecordTooLarge: the topic does not take it.

        """
        try:
            members = read_members(content.decode())
            row = {role: self._value(members, role) for role in self._wanted}
        except (ValueError, RecursionError) as error:
            refused = OutboxUnroutable(
                f"a message is not a JSON object: {_reason(error)}",
                where=f"outbox messages {self._router.name}",
                hint="emit an object with id, aggregatetype, aggregateid, type and payload, as"
                " docs/how-to/use-the-outbox.md shows",
            )
            raise self._router.explained(refused) from None
        self._router.add(transaction, row)

    def _value(self, members: dict[str, str], role: str) -> bytes | None:
        """Return the text of a member; NULL where it is missing or null."""
        names = self._wanted[role]
        json_text = next((members[name] for name in names if name in members), "null")
        if json_text == "null":
            return None
        if role != "payload":
            return (json.loads(json_text) if json_text[0] == '"' else json_text).encode()
        return self._payload(json_text, names[0])

    def _payload(self, json_text: str, name: str) -> bytes:
        """Return the bytes of a payload: its JSON, or what a string holds."""
        if self._payload_as is None:
            return json_text.encode()
        text = json.loads(json_text)
        if not isinstance(text, str):
            message = f"{name} must be a string, because of payload_as"
            raise ValueError(message)  # noqa: TRY004 - the caller translates it
        if self._payload_as == "text":
            return text.encode()
        return base64.b64decode(text, validate=True)


def read_members(text: str) -> dict[str, str]:
    """Return the members of a JSON object, each as the JSON text that it has.

    Raises:
        ValueError: the text is not a JSON object, or a member occurs twice.

    """
    members: dict[str, str] = {}
    at = _skip(text, _expect(text, _skip(text, 0), "{"))
    while text[at : at + 1] != "}":
        if members:
            at = _skip(text, _expect(text, at, ","))
        _expect(text, at, '"')
        name, at = _DECODER.raw_decode(text, at)
        start = _skip(text, _expect(text, _skip(text, at), ":"))
        _, at = _DECODER.raw_decode(text, start)
        if name in members:
            message = "a member occurs twice"
            raise ValueError(message)
        members[name] = text[start:at]
        at = _skip(text, at)
    if _skip(text, at + 1) != len(text):
        message = "more text behind it"
        raise ValueError(message)
    return members


def _skip(text: str, at: int) -> int:
    """Return the place of the next character that is not a space."""
    while text[at : at + 1] in _SPACES:
        at += 1
    return at


def _expect(text: str, at: int, mark: str) -> int:
    """Return the place behind a mark."""
    if text[at : at + 1] != mark:
        message = f"no {mark} at character {at + 1}"
        raise ValueError(message)
    return at + 1


def _reason(error: Exception) -> str:
    """Return why a message was not understood, without its text."""
    match error:
        case RecursionError():
            return "it is nested too deeply"
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case UnicodeEncodeError():
            return "it has half of a surrogate pair"
        case binascii.Error():
            return "its payload is not base64"
        case json.JSONDecodeError():
            return f"{error.msg} at character {error.pos + 1}"
        case _:
            return str(error)
