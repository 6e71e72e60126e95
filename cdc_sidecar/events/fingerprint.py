"""The fingerprint of a configuration: of the keys that change which events a transaction makes.

It is kept in the position. When a transaction is half published, the rest must be published under
the same configuration. A fingerprint is computed from names and values and leaves defaults out, so
a new version of the sidecar with new keys does not change it.
"""

import hashlib
import json
from typing import Any, Final

from pydantic import BaseModel

from cdc_sidecar.config.model import Table
from cdc_sidecar.config.outbox import Outbox

IRRELEVANT: Final[dict[type[BaseModel], dict[str, Any]]] = {
    Table: {"dropped": True, "snapshot": True, "generation": True},
    Outbox: {"dropped": True, "prune": True, "events": {"__all__": {"compatibility"}}},
}
"""The keys of a table or an outbox that change no event. A new key belongs to the fingerprint
unless it is listed here.
"""

_LENGTH: Final = 16
"""Hexadecimal digits: 64 bits, enough to tell the few configurations of one service apart."""


def fingerprint(keys: dict[str, object]) -> str:
    """Return the digest of configuration keys; the values are models, tuples, text or flags."""
    canonical = json.dumps(without_defaults(keys), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:_LENGTH]


def without_defaults(value: object) -> object:
    """Return a value as JSON can hold it, without empty blocks and default values."""
    match value:
        case BaseModel():
            irrelevant = IRRELEVANT.get(type(value))
            dumped = value.model_dump(
                mode="json", by_alias=True, exclude_defaults=True, exclude=irrelevant
            )
            return without_defaults(dumped)
        case dict():
            cleaned = {name: without_defaults(item) for name, item in value.items()}
            return {name: item for name, item in cleaned.items() if item not in _EMPTY}
        case tuple() | list():
            return [without_defaults(item) for item in value]
        case _:
            return value


_EMPTY: Final[tuple[object, ...]] = ({}, [])
"""A block without keys, and a list without items: both are as good as absent."""
