"""Which settings let rows through that do not fit the configuration, and in which block.

A setting for one table of a glob belongs in a block of its own, because a column that is named in
the block of the glob must be in each of its tables.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cdc_sidecar.config.model import Table
from cdc_sidecar.config.outbox import Outbox

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
"""A key that TOML allows without quotes."""
_GONE: Final = "the table no longer exists, so add dropped = true to its block"


def toml_key(name: str) -> str:
    """Return a name as a key of TOML."""
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def cure_of_table(table: Table, name: str, *, gone: bool) -> str:
    """Return where the settings go that the mistakes name; `gone`: the table was dropped."""
    if not table.is_glob:
        also = f"; {_GONE}" if gone and not table.dropped else ""
        return f"change the block of {name} as said above{also}; then restart"
    block = "\n".join(_lines(table, name, gone=gone))
    return (
        f"give {name} a block of its own, change it as said above, and restart; or leave its rows"
        f' out with exclude = ["{name}"] in the block of {table.name}\n{block}'
    )


def cure_of_value(table: Table, name: str) -> str:
    """Return what follows a setting that lets a value of a table through: where it goes."""
    park = ', or on_error = "park" to keep such rows in a topic of their own'
    also = park if table.on_error == "halt" else ""
    if table.is_glob:
        return f"{also}; {cure_of_table(table, name, gone=False)}"
    return f"{also}, in the block of {name}; then restart"


def cure_of_outbox(outbox: Outbox, *, gone: bool) -> str:
    """Return the same for an outbox."""
    also = f"; {_GONE}" if gone and not outbox.dropped else ""
    return f"change the block of outbox {outbox.name} as said above{also}; then restart"


def _lines(table: Table, name: str, *, gone: bool) -> Iterator[str]:
    """Yield a block of one table that says the same as the block of its glob."""
    settings = table.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    columns = settings.pop("column", {})
    settings.pop("exclude", None)
    yield "[[tables]]"
    yield from _settings({**settings, "name": name, **({"dropped": True} if gone else {})})
    for column, values in columns.items():
        yield f"[tables.column.{toml_key(column)}]"
        yield from _settings(values)


def _settings(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield keys of TOML; texts, flags and lists of them are written as in JSON."""
    for key, value in values.items():
        yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
