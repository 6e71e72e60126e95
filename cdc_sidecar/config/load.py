"""Loads a `Config` from a TOML file and the environment, or raises one error with every mistake."""

import difflib
import os
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cdc_sidecar.config.document import override, read_document
from cdc_sidecar.config.model import Config
from cdc_sidecar.config.schema_files import read_schema_files
from cdc_sidecar.config.secret import Secret, is_reference, parse_secret
from cdc_sidecar.errors import ConfigInvalid, SecretUnavailable

_READ_LATER = frozenset(
    {
        ("postgres", "dsn"),
        ("postgres", "password"),
        ("http", "username"),
        ("http", "password"),
        ("http", "bearer_token"),
    }
)
"""Secrets that are read again for every connection, as are all values of `[kafka.client]`."""
_NOT_YET: dict[tuple[str, ...], str] = {
    ("registry",): "an external registry is not supported in this version; the built-in one is used"
}
"""Sections of later versions, which are not reported as unknown keys."""
_MESSAGES = {
    "missing": "missing",
    "bool_type": "must be true or false",
    "int_type": "must be an integer",
    "string_type": "must be a string",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
}
"""Messages in TOML's terms for errors that pydantic describes in Python's terms."""
_SIMILARITY = 0.6
"""The least similarity of a suggested key, from 0 to 1: the default of `difflib`."""


def load_config(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration of `path`, overridden by the variables `CDC_SIDECAR__…`.

    Raises:
        ConfigUnreadable: the file cannot be read, or is not TOML.
        ConfigInvalid: keys or values are wrong; the error lists all of them.

    """
    document = read_document(path)
    mistakes = list(override(document, environment))
    referenced = list(_references(document, ()))
    mistakes += _resolve(document, ())
    mistakes += read_schema_files(document, path.parent)
    try:
        config = Config.model_validate(document).with_references(referenced)
    except ValidationError as error:
        mistakes += [_describe(detail) for detail in error.errors(include_url=False)]
    else:
        if not mistakes:
            return config
    raise ConfigInvalid(
        f"{len(mistakes)} mistake{'s' * (len(mistakes) > 1)} in {path}\n"
        + "\n".join(f"  - {mistake}" for mistake in mistakes),
        hint="correct the file or the variables; config.example.toml shows every key",
    )


def _resolve(section: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Replace `{ file = … }` and `{ env = … }` by their text, except those that are read later."""
    for key, value in section.items():
        here = (*path, key)
        if here in _READ_LATER or here[:2] == ("kafka", "client"):
            yield from _try_secrets(value, here)
        elif is_reference(value):
            try:
                section[key] = parse_secret(value).read()
            except SecretUnavailable as error:
                yield f"{_spell(here)}: {error.fact}"
        else:
            for below, item in _sections(value, here):
                yield from _resolve(item, below)


def _references(section: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the paths of all values `{ file = … }` and `{ env = … }`."""
    for key, value in section.items():
        here = (*path, key)
        if is_reference(value):
            yield here
        else:
            for below, item in _sections(value, here):
                yield from _references(item, below)


def _sections(
    value: object, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield the table that a value is, or the tables of the list that it is, with their paths."""
    if isinstance(value, dict):
        yield path, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict):
                yield (*path, str(index)), item


def _try_secrets(value: object, path: tuple[str, ...]) -> Iterator[str]:
    """Read each secret once at start, so that a wrong path is reported as a mistake."""
    if is_reference(value):
        try:
            parse_secret(value).read()
        except SecretUnavailable as error:
            yield f"{_spell(path)}: {error.fact}"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _try_secrets(item, (*path, key))


def _describe(detail: ErrorDetails) -> str:
    """Return one line for an error of pydantic; the line never shows the value."""
    path = tuple(str(part) for part in detail["loc"])
    where = _spell(path)
    if detail["type"] == "extra_forbidden":
        return f"{where}: {_NOT_YET.get(path) or 'unknown key' + _did_you_mean(path)}"
    message = _MESSAGES.get(detail["type"]) or _reword(detail["msg"])
    return f"{where}: {message}" if where else message


def _reword(message: str) -> str:
    """Return `must be …` for pydantic's `Input should be …`, `String should have …` and others."""
    short = message.removeprefix("Value error, ").partition(" after validation")[0]
    return re.sub(r"^\w+ should ", "must ", short)


def _spell(path: tuple[str, ...]) -> str:
    """Return `tables[0].name` for `("tables", "0", "name")`."""
    parts = [f"[{part}]" if part.isdigit() else f".{part}" for part in path]
    return "".join(parts).removeprefix(".")


def _did_you_mean(path: tuple[str, ...]) -> str:
    known = _known_keys(path[:-1])
    close = difflib.get_close_matches(path[-1], known, n=1, cutoff=_SIMILARITY)
    return f" (did you mean {close[0]}?)" if close else f" (known keys: {', '.join(sorted(known))})"


def _known_keys(path: tuple[str, ...]) -> list[str]:
    """Return the keys that the model has at a path."""
    model: Any = Config
    for part in path:
        model = _below(model, part)
        if get_origin(model) is types.UnionType:
            model = get_args(model)[0]
    if not _is_section(model):
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _below(model: Any, part: str) -> Any:  # noqa: ANN401 - a section, or a generic of sections
    """Return the type that a key of a section, a table or a list has."""
    if not _is_section(model):
        return get_args(model)[-1 if get_origin(model) is dict else 0]
    fields = model.model_fields.items()
    return next(field.annotation for name, field in fields if part in (name, field.alias))


def _is_section(model: Any) -> bool:  # noqa: ANN401 - as above
    return isinstance(model, type) and issubclass(model, BaseModel)


def read_all(settings: Mapping[str, Secret]) -> dict[str, str]:
    """Return the settings, with every secret as it is now.

    Raises:
        SecretUnavailable: a secret cannot be read.

    """
    return {name: secret.read() for name, secret in settings.items()}
