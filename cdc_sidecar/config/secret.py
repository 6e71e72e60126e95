"""Strings that may be kept outside the file: `{ file = "/run/secrets/x" }`, `{ env = "X" }`.

A `Secret` is read again for every new connection, so a rotated password needs no restart.
Its value is never part of its `repr`.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from cdc_sidecar.errors import SecretUnavailable


@dataclass(frozen=True, slots=True)
class Secret:
    """The place where a string is kept; `read` reads it."""

    kind: str  # "file", "env" or "literal"
    place: str

    def __repr__(self) -> str:
        """Show the place of a reference; show nothing of a literal."""
        return "Secret(…)" if self.kind == "literal" else f"Secret({self.kind}={self.place!r})"

    def read(self) -> str:
        """Return the current string, without the last line ending of a file.

        Raises:
            SecretUnavailable: the file cannot be read, or the variable is not set.

        """
        match self.kind:
            case "file":
                return _read_file(self.place)
            case "env":
                return _read_variable(self.place)
            case _:
                return self.place


def _read_file(place: str) -> str:
    try:
        return Path(place).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretUnavailable(
            f"file {place}: {type(error).__name__}",
            hint="mount the file, and allow the sidecar's user to read it",
        ) from error


def _read_variable(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError as error:
        raise SecretUnavailable(
            f"environment variable {name} is not set",
            hint=f"set {name} in the environment of the sidecar",
        ) from error


def is_reference(written: object) -> bool:
    """Return whether a TOML value has the form `{ file = … }` or `{ env = … }`."""
    if not isinstance(written, dict) or len(written) != 1:
        return False
    (kind, place), *_ = written.items()
    return kind in ("file", "env") and isinstance(place, str)


def parse_secret(written: object) -> Secret:
    """Return the secret that a TOML value describes.

    Raises:
        ValueError: the value is neither a string nor a reference.

    """
    if isinstance(written, Secret):
        return written
    if isinstance(written, str):
        return Secret("literal", written)
    if isinstance(written, dict) and is_reference(written):
        (kind, place), *_ = written.items()
        return Secret(kind, place)
    message = 'must be a string, { file = "…" } or { env = "…" }'
    raise ValueError(message)


SecretString = Annotated[Secret, BeforeValidator(parse_secret)]
"""A string that is read when a connection is opened."""
