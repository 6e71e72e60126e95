"""The effective configuration for people, without secrets: defaults are in it, secrets are not."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from cdc_sidecar.config.model import Config, Table
from cdc_sidecar.config.outbox import EventType, Outbox
from cdc_sidecar.config.secret import Secret

HIDDEN: Final = "(hidden)"
"""Stands for a secret, and for any string that was read from a file or a variable."""
_SCHEMA: Final = "(schema)"
_USER: Final = re.compile(r"://[^/@\s]*@")
"""The name and the password in a URL."""
_BLOCKS: Final = 100
"""Blocks of tables, and of outboxes, that are shown."""
_Path = tuple[str, ...]


def shown_config(config: Config) -> dict[str, Any]:
    """Return the configuration as JSON can hold it: durations in seconds, sizes in bytes.

    Tables and outboxes have only the keys that differ from their defaults, and only the first 100
    of each are there.
    """
    return {
        field.alias or name: _shown(getattr(config, name), (name,), config.referenced)
        for name, field in Config.model_fields.items()
    }


def _shown(value: object, path: _Path, referenced: frozenset[_Path]) -> Any:  # noqa: ANN401, PLR0911 - JSON
    match value:
        case Secret(kind="literal"):
            return HIDDEN
        case Secret(kind=kind, place=place):
            return {kind: place}
        case _ if path in referenced:
            return HIDDEN
        case EventType():
            return {"schema": _SCHEMA, "compatibility": value.compatibility}
        case BaseModel():
            return _section(value, path, referenced)
        case Mapping():
            return {key: _shown(item, (*path, key), referenced) for key, item in value.items()}
        case tuple() | list():
            items = enumerate(value[:_BLOCKS])
            return [_shown(item, (*path, str(place)), referenced) for place, item in items]
        case str():
            return _USER.sub(f"://{HIDDEN}@", value)
        case _:
            return value


def _section(section: BaseModel, path: _Path, referenced: frozenset[_Path]) -> dict[str, Any]:
    fields = {name: field.alias or name for name, field in type(section).model_fields.items()}
    if isinstance(section, Table | Outbox):
        fields = {name: key for name, key in fields.items() if name in section.model_fields_set}
    return {
        key: _shown(getattr(section, name), (*path, key), referenced)
        for name, key in fields.items()
    }
