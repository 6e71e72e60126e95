"""A hash of the configuration, by which replicas and versions can be compared."""

import hashlib
import json
from typing import Final

from cdc_sidecar.config.model import Config

_DIGITS: Final = 12
"""Hexadecimal digits of the hash: people compare them by eye."""
_OF_ONE_PROCESS: Final = {"http": {"listen"}, "snapshot": {"socket"}}
"""Where a process is reached: replicas on one host differ in it."""


def config_fingerprint(config: Config) -> str:
    """Return the first digits of the SHA-256 of a configuration.

    Of a secret, only the place where it is kept counts. The contents of schema files count. The
    addresses of the process do not.
    """
    text = json.dumps(config.model_dump(exclude=_OF_ONE_PROCESS), default=repr, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
