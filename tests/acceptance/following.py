"""A person who follows the hints of `check` to the letter."""

import re
from collections.abc import Iterator
from typing import Any

from tests.acceptance.conftest import Service

_SQL = re.compile(r"(?:ALTER (?:TABLE|PUBLICATION|ROLE)|GRANT) [^;\n]+")
_BLOCK = re.compile(r"^\[\[tables\]\].*", re.MULTILINE | re.DOTALL)
_SETTING = re.compile(r'set (\[tables\.column\.[^\]]+\]) (as = "text")')
_KEY = re.compile(r"set (key = \[\"[^\]]+\])")
_OPTIONAL = re.compile(r"set (optional = \[[^\]]+\])")
_MEANT = re.compile(r"did you mean ([^?]+)\?")
_INSTEAD = re.compile(r"configure (\S+) instead of (\S+)")
_AWAY = re.compile(r"take (\S+) out of the configuration")
_REMOVED = re.compile(r"remove (logical = false) from \[tables")


def follow(service: Service, fault: dict[str, Any]) -> None:
    """Do what one fault of `check --json` says: run its SQL, or change the configuration."""
    text = f"{fault['detail']}\n{fault['hint'] or ''}"
    statements = _SQL.findall(text)
    if statements:
        service.sql(*statements)
        return
    path = service.sidecar.config
    before = path.read_text()
    path.write_text(_changed(before, text))
    assert path.read_text() != before, text


def _changed(config: str, text: str) -> str:
    """Return the configuration with the change that a text describes, in its last block."""
    if found := _INSTEAD.search(text):
        return config.replace(f'"{found[2]}"', f'"{found[1]}"')
    if found := _AWAY.search(text):
        return config.replace(f'\n[[tables]]\nname = "{found[1]}"\ncolumns = ["*"]\n', "")
    if found := _REMOVED.search(text):
        return config.replace(found[1], "")
    if found := _MEANT.search(text):
        wrong = re.findall(r"(?:column )?(\S+) (?:does not exist|not in publication)", text)[-1]
        return config.replace(f'"{wrong}"', f'"{found[1]}"')
    return config + "".join(f"{line}\n" for line in _additions(text))


def _additions(text: str) -> Iterator[str]:
    """Yield the lines to append to the last block, or as a block of its own."""
    if found := _BLOCK.search(text):
        yield f"\n{found[0]}"
    if found := _KEY.search(text):
        yield found[1]
    elif "unkeyed = true" in text:
        yield "unkeyed = true"
    if found := _OPTIONAL.search(text):
        yield found[1]
    for block, setting in _SETTING.findall(text):
        yield f"{block}\n{setting}"
