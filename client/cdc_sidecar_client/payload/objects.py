"""The parts of Python objects that are events: dataclasses, pydantic models, attrs and mappings."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Value = Any


def unwrap(value: Value) -> Value:
    """Return what a pydantic `RootModel` stands for, and other values as they are."""
    while getattr(type(value), "__pydantic_root_model__", False):
        value = value.root
    return value


def is_instance_with_fields(value: Value) -> bool:
    """Return whether a value is an object of a class that declares its fields."""
    kind = type(value)
    return (
        dataclasses.is_dataclass(kind)
        or hasattr(kind, "model_fields")
        or hasattr(kind, "__attrs_attrs__")
    )


def members_of(value: Value) -> Mapping[Any, Value] | None:
    """Return the fields of an object by name, or the mapping itself, or None."""
    if isinstance(value, Mapping):
        return value
    return dict(_fields(value)) if is_instance_with_fields(value) else None


def _fields(value: Value) -> Iterator[tuple[str, Value]]:
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
        yield from ((name, getattr(value, name)) for name in names)
    elif hasattr(kind, "model_fields"):
        yield from _pydantic_fields(value)
    else:
        yield from ((field.name, getattr(value, field.name)) for field in kind.__attrs_attrs__)


def _pydantic_fields(model: Value) -> Iterator[tuple[str, Value]]:
    """Yield the fields of a model under their aliases, and the extra ones that it allows."""
    for name, field in type(model).model_fields.items():
        if not field.exclude:
            yield field.serialization_alias or field.alias or name, getattr(model, name)
    yield from (model.__pydantic_extra__ or {}).items()


def is_array(value: Value) -> bool:
    """Return whether a value is a sequence of items, and not one of characters or bytes."""
    return isinstance(value, Sequence) and not isinstance(
        value, str | bytes | bytearray | memoryview
    )


def kind_of(value: Value) -> str:
    """Return what a value is: in the terms of JSON, or else its Python type."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case Mapping():
            return "an object"
        case _:
            return "an array" if is_array(value) else f"of the Python type {type(value).__name__}"
