"""Turns a decoded payload into the type that a handler asks for: a dataclass, a pydantic model."""

import dataclasses
import enum
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict
from uuid import UUID

from cdc_sidecar_client.consumer.errors import Undecodable

_NONE: Final = type(None)


def convert(kind: Any, value: Any) -> Any:  # noqa: ANN401 - any annotation, any payload
    """Return `value` as `kind`; fields that a dataclass does not have are left out.

    Raises:
        Undecodable: the value does not fit, with the path of the field.

    """
    try:
        return _convert(kind, value, "payload")
    except Undecodable:
        raise
    except Exception as error:  # a class of the service may raise anything while it is made
        raise Undecodable(f"payload: {type(error).__name__}: {error}") from error


def _convert(kind: Any, value: Any, path: str) -> Any:  # noqa: ANN401 - as above
    if kind is Any or kind is object:
        return value
    origin = get_origin(kind)
    if origin is not None:
        return _generic(kind, origin, value, path)
    if hasattr(kind, "model_validate"):
        return _model(kind, value, path)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, path)
    return _scalar(kind, value, path)


def _model(kind: Any, value: Any, path: str) -> Any:  # noqa: ANN401 - a model of pydantic
    try:
        return kind.model_validate(value)
    except ValueError as error:
        if not hasattr(error, "errors"):
            raise
        reasons = [
            f"{'.'.join([path, *map(str, reason['loc'])])}: {reason['msg']}"
            for reason in error.errors()  # the error's own text has the value
        ]
        raise Undecodable("; ".join(reasons)) from None


def _dataclass(kind: Any, value: Any, path: str) -> Any:  # noqa: ANN401 - a dataclass
    if not isinstance(value, Mapping):
        raise _mismatch(kind, value, path)
    hints, given = _hints(kind), {}
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        if field.name in value:
            given[field.name] = _convert(
                hints[field.name], value[field.name], f"{path}.{field.name}"
            )
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise Undecodable(f"{path}.{field.name} is missing")
    return kind(**given)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _generic(kind: Any, origin: Any, value: Any, path: str) -> Any:  # noqa: ANN401 - as above
    arguments = get_args(kind)
    if origin is Union or origin is types.UnionType:
        return _union(arguments, value, path)
    if origin is Literal:
        if value in arguments:
            return value
        raise _mismatch(kind, value, path)
    if isinstance(value, Mapping) and issubclass(origin, Mapping):
        return {
            _convert(arguments[0], k, path): _convert(arguments[1], v, f"{path}.{k}")
            for k, v in value.items()
        }
    if isinstance(value, list) and issubclass(origin, Sequence):
        items = [_convert(arguments[0], each, f"{path}[{at}]") for at, each in enumerate(value)]
        return tuple(items) if origin is tuple else items
    raise _mismatch(kind, value, path)


def _union(kinds: tuple[Any, ...], value: Any, path: str) -> Any:  # noqa: ANN401 - as above
    if value is None and _NONE in kinds:
        return None
    reasons = []
    for kind in kinds:
        if kind is not _NONE:
            try:
                return _convert(kind, value, path)
            except Undecodable as error:
                reasons.append(str(error))
    raise Undecodable("; ".join(reasons) or f"{path}: None was not expected")


def _scalar(kind: Any, value: Any, path: str) -> Any:  # noqa: ANN401 - as above
    if kind is None or kind is _NONE:
        if value is None:
            return None
        raise _mismatch(kind, value, path)
    if is_typeddict(kind) and isinstance(value, dict):
        return value
    if is_typeddict(kind) or not isinstance(kind, type):
        raise _mismatch(kind, value, path)
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
        return value
    accepted, parse = _PARSERS.get(kind, ((), _same))
    if issubclass(kind, enum.Enum):
        accepted, parse = (str, int), kind
    if not isinstance(value, accepted) or isinstance(value, bool):
        raise _mismatch(kind, value, path)
    try:
        return parse(value)
    except (ValueError, InvalidOperation, OverflowError) as error:
        raise _mismatch(kind, value, path) from error


def _same(value: Any) -> Any:  # noqa: ANN401 - as above
    return value


def _datetime(text: str) -> datetime:
    return datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)


def _float(value: int | Decimal) -> float:
    return float(value)


_PARSERS: Final[dict[Any, tuple[Any, Callable[[Any], Any]]]] = {
    UUID: (str, UUID),
    Decimal: ((str, int), Decimal),
    float: ((int, Decimal), _float),
    datetime: (str, _datetime),
    date: (str, date.fromisoformat),
    time: (str, time.fromisoformat),
}
"""What JSON has in the place of a type, and how it is read. Avro's logical types need none."""


def _mismatch(kind: Any, value: Any, path: str) -> Undecodable:  # noqa: ANN401 - as above
    name = getattr(kind, "__name__", str(kind))
    return Undecodable(f"{path}: expected {name}, not {type(value).__name__}")
