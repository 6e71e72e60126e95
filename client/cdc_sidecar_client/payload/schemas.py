"""The schemas of a service's events, by event type."""

import json
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from cdc_sidecar_client.errors import EventTypeUnknown, OutboxMistaken, SchemaMistaken
from cdc_sidecar_client.payload.nodes import Node
from cdc_sidecar_client.payload.schema import Compiler, full_name

Json = Any
Source = str | os.PathLike[str] | Mapping[str, Json]
"""A folder of .avsc files, or for each event type a file or a schema."""


class Schemas:
    """The compiled schemas of event types."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = dict(nodes)

    def find(self, event_type: str, version: object = None) -> Node:
        """Return the schema of an event type: that of its version, named `<type>.v<version>`.

        Raises:
            EventTypeUnknown: there is none.

        """
        node = self._nodes.get(f"{event_type}.v{version}") or self._nodes.get(event_type)
        if node is None:
            close = get_close_matches(event_type, self._nodes, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(self._nodes)}"
            raise EventTypeUnknown(f"no schema for event type {event_type}; {hint}")
        return node


def load_schemas(source: Source) -> Schemas:
    """Read the schemas of a folder, or those of a mapping from event types to files or schemas.

    In a folder, the event type is the name of the record without its namespace.

    Raises:
        OutboxMistaken: the folder or a file does not exist, or the folder has no schema.
        SchemaMistaken: a file has no schema, or two files have one for the same event type.

    """
    if isinstance(source, Mapping):
        named = {name: (name, _read_any(each)) for name, each in source.items()}
    else:
        named = _read_folder(Path(source))
    return Schemas({name: _compile(*each) for name, each in named.items()})


def _read_any(source: Json) -> Json:
    return _read(Path(source)) if isinstance(source, str | os.PathLike) else source


def _read_folder(folder: Path) -> dict[str, tuple[str, Json]]:
    """Return path and schema of each event type."""
    found: dict[str, tuple[str, Json]] = {}
    if not folder.is_dir():
        raise OutboxMistaken(f"{folder} is not a folder: schemas takes a folder of .avsc files")
    for path in sorted(folder.rglob("*.avsc")):
        schema = _read(path)
        name = _record_name(schema, str(path)).rpartition(".")[2]
        if name in found:
            raise SchemaMistaken(
                f"{found[name][0]} and {path} both define event type {name}; "
                "pass schemas={type: path} instead of the folder"
            )
        found[name] = (str(path), schema)
    if not found:
        raise OutboxMistaken(f"{folder} has no .avsc file")
    return found


def _read(path: Path) -> Json:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OutboxMistaken(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SchemaMistaken(f"{path} is not JSON: {error}") from None


def _record_name(schema: Json, where: str) -> str:
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise SchemaMistaken(f"{where}: the outer type is not a record")
    try:
        return full_name(schema)
    except SchemaMistaken as error:
        raise SchemaMistaken(f"{where}: {error}") from None


def _compile(where: str, schema: Json) -> Node:
    _record_name(schema, where)
    try:
        return Compiler().compile(schema)
    except SchemaMistaken as error:
        raise SchemaMistaken(f"{where}: {error}") from None
