"""A hash of the whole configuration, by which replicas and versions can be compared."""

import hashlib
import json
from typing import Final

from cdc_sidecar.config.model import Config

_DIGITS: Final = 12
"""Hexadecimal digits of the hash: people compare them by eye."""


def config_fingerprint(config: Config) -> str:
    """Return the first digits of the SHA-256 of a configuration.

    Of a secret, only the place where it is kept counts. The contents of schema files count.
    """
    text = json.dumps(config.model_dump(), default=repr, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
