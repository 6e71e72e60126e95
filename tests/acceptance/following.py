"""A person who follows the hints of `check` to the letter."""

import re
from collections.abc import Iterator
from typing import Any

from tests.acceptance.conftest import Service

_SQL = re.compile(r"(?:ALTER (?:TABLE|PUBLICATION|ROLE)|GRANT) [^;\n]+")
_BLOCK = re.compile(r"^\[\[tables\]\].*", re.MULTILINE | re.DOTALL)
_SETTING = re.compile(r'set (\[tables\.column\.[^\]]+\]) (as = "text")')
_KEY = re.compile(r"set (key = \[\"[^\]]+\])")
_PAYLOAD = re.compile(r'set (payload_as = "text")')
_OPTIONAL = re.compile(r"set (optional = \[[^\]]+\])")
_MISSPELT = re.compile(r"(\S+) does not exist.*?did you mean ([^?]+)\?", re.DOTALL)
_INSTEAD = re.compile(r"configure (\S+) instead of (\S+)")
_AWAY = re.compile(r"take (\S+) out of the configuration")
_REMOVED = re.compile(r"remove (logical = false) from \[tables")


def follow(service: Service, fault: dict[str, Any]) -> None:
    """Do what one fault of `check --json` says: run its SQL, or change the configuration."""
    text = "\n".join(fault[key] or "" for key in ("fact", "cause", "hint"))
    statements = _SQL.findall(text)
    if statements:
        service.sql(*statements)
        return
    path = service.sidecar.config
    before = path.read_text()
    path.write_text(_changed(before, text))
    assert path.read_text() != before, text


def _changed(config: str, text: str) -> str:
    """Return the configuration with the changes of a text, or else with more in its last block."""
    before = config
    for now, wrong in _INSTEAD.findall(text):
        config = config.replace(f'"{wrong}"', f'"{now}"')
    for name in _AWAY.findall(text):
        config = config.replace(f'\n[[tables]]\nname = "{name}"\ncolumns = ["*"]\n', "")
    for setting in _REMOVED.findall(text):
        config = config.replace(setting, "")
    for wrong, meant in _MISSPELT.findall(text):
        config = config.replace(f'"{wrong}"', f'"{meant}"')
    if config != before:
        return config
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
    if found := _PAYLOAD.search(text):
        yield found[1]
    for block, setting in _SETTING.findall(text):
        yield f"{block}\n{setting}"
