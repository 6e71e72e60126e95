"""The TOML file and the variables that override its keys, before anything is validated.

It imports little, so that `cdc-sidecar health` reads the one key that it needs in little time.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cdc_sidecar.errors import ConfigUnreadable

PREFIX = "CDC_SIDECAR__"
"""The beginning of the variables that override a key. Levels are separated by "__", because keys
contain a single "_". `CDC_SIDECAR_FAILPOINTS` is not an override.
"""
_DOTTED = frozenset({("kafka", "client"), ("topics", "config")})
"""Tables whose keys contain dots; the name of a variable cannot contain a dot."""


def read_document(path: Path) -> dict[str, Any]:
    """Return the document of a file.

    Raises:
        ConfigUnreadable: the file cannot be read, or is not TOML.

    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigUnreadable(
            f"{path} does not exist",
            hint="name the file with --config or CDC_SIDECAR_CONFIG, or write one with"
            " `cdc-sidecar init`",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigUnreadable(
            f"{path}: {type(error).__name__}",
            hint="the file must be UTF-8, and the sidecar's user must be allowed to read it",
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigUnreadable(
            f"{path} is not valid TOML: {error}",
            hint="correct or remove the line that the message names; a text is in quotes:"
            ' name = "orders"',
        ) from error


def override(document: dict[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    """Write the variables `CDC_SIDECAR__A__B` into the document; yield a line for each mistake."""
    for name in sorted(name for name in environment if name.startswith(PREFIX)):
        keys = tuple(name.removeprefix(PREFIX).lower().split("__"))
        table, setting = keys[:2], keys[2:]
        if setting and table in _DOTTED:
            keys = (*table, "__".join(setting).replace("_", "."))
        section = document
        for key in keys[:-1]:
            section = section.setdefault(key, {})
            if not isinstance(section, dict):
                yield f"{name}: a variable cannot override an entry of the list {key}"
                break
        else:
            section[keys[-1]] = _parse_variable(environment[name])


def _parse_variable(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
