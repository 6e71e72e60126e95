"""A TOML file and the environment become a `Config`, or one error that lists every mistake."""

import difflib
import os
import tomllib
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cdc_sidecar.config.model import Config
from cdc_sidecar.config.secret import Secret, is_reference, parse_secret
from cdc_sidecar.errors import ConfigInvalid, ConfigUnreadable, SecretUnavailable

PREFIX = "CDC_SIDECAR__"
_READ_LATER = frozenset({("postgres", "dsn"), ("postgres", "password")})
_DOTTED = frozenset({("kafka", "client"), ("topics", "config")})
_NOT_YET: dict[tuple[str, ...], str] = {
    ("registry",): "an outside registry is not in this version: the built-in one is used"
}


def load_config(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration of `path`, overridden by the variables `CDC_SIDECAR__…`.

    Raises:
        ConfigUnreadable: the file cannot be read, or is no TOML.
        ConfigInvalid: keys or values are wrong; all of them are listed.

    """
    document = _read(path)
    mistakes = [*_override(document, environment), *_resolve(document, ())]
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        mistakes += [_describe(detail) for detail in error.errors(include_url=False)]
    else:
        if not mistakes:
            return config
    raise ConfigInvalid(
        f"{len(mistakes)} mistake{'s' * (len(mistakes) > 1)} in {path}\n"
        + "\n".join(f"  - {mistake}" for mistake in mistakes),
        hint="correct the file; config.example.toml shows every key",
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigUnreadable(f"{path} does not exist", hint="name it with --config") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigUnreadable(
            f"{path}: {type(error).__name__}", hint="let the sidecar's user read it, as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigUnreadable(f"{path} is no TOML: {error}") from error


def _override(document: dict[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    """Write the variables `CDC_SIDECAR__A__B` into the document; yield what cannot be."""
    for name in sorted(name for name in environment if name.startswith(PREFIX)):
        keys = tuple(name.removeprefix(PREFIX).lower().split("__"))
        table, setting = keys[:2], keys[2:]
        if setting and table in _DOTTED:
            keys = (*table, "__".join(setting).replace("_", "."))
        section = document
        for key in keys[:-1]:
            section = section.setdefault(key, {})
            if not isinstance(section, dict):
                yield f"{name}: a variable cannot reach into the list {key}"
                break
        else:
            section[keys[-1]] = _parse_variable(environment[name])


def _parse_variable(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _resolve(section: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Replace `{ file = … }` and `{ env = … }` by their text where they are not read later."""
    for key, value in section.items():
        here = (*path, key)
        if here in _READ_LATER or here[:2] == ("kafka", "client"):
            yield from _try_secrets(value, here)
        elif is_reference(value):
            try:
                section[key] = parse_secret(value).read()
            except SecretUnavailable as error:
                yield f"{_spell(here)}: {error.fact}"
        elif isinstance(value, dict):
            yield from _resolve(value, here)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    yield from _resolve(item, (*here, str(index)))


def _try_secrets(value: object, path: tuple[str, ...]) -> Iterator[str]:
    """Read each secret once at start: a wrong path is a mistake of the configuration."""
    if is_reference(value):
        try:
            parse_secret(value).read()
        except SecretUnavailable as error:
            yield f"{_spell(path)}: {error.fact}"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _try_secrets(item, (*path, key))


def _describe(detail: ErrorDetails) -> str:
    """Return one line for one of pydantic's findings; the value itself is never shown."""
    path = tuple(str(part) for part in detail["loc"])
    where = _spell(path)
    if detail["type"] == "extra_forbidden":
        return f"{where}: {_NOT_YET.get(path) or 'unknown key' + _did_you_mean(path)}"
    if detail["type"] == "missing":
        return f"{where}: missing"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    prefix = "must be " if detail["msg"].startswith("Input should be ") else ""
    return f"{where}: {prefix}{message}" if where else f"{prefix}{message}"


def _spell(path: tuple[str, ...]) -> str:
    """Spell `("tables", "0", "name")` as `tables[0].name`."""
    parts = [f"[{part}]" if part.isdigit() else f".{part}" for part in path]
    return "".join(parts).removeprefix(".")


def _did_you_mean(path: tuple[str, ...]) -> str:
    known = _known_keys(path[:-1])
    close = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else f" (known: {', '.join(sorted(known))})"


def _known_keys(path: tuple[str, ...]) -> list[str]:
    """Return the keys that the model knows at a path."""
    model: Any = Config
    for part in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = next(
                field.annotation
                for name, field in model.model_fields.items()
                if part in (name, field.alias)
            )
        else:
            model = get_args(model)[-1 if get_origin(model) is dict else 0]
        if get_origin(model) is types.UnionType:
            model = get_args(model)[0]
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def read_all(settings: Mapping[str, Secret]) -> dict[str, str]:
    """Return the settings with every secret read now.

    Raises:
        SecretUnavailable: one of them cannot be read.

    """
    return {name: secret.read() for name, secret in settings.items()}
