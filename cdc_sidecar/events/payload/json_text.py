"""JSON as a payload has it: numbers keep their digits, and repeated members are noticed."""

import json
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 64
"""Objects and arrays inside each other: more than any event needs, and little for the stack."""


class PayloadMisfit(ValueError):
    """A payload does not fit its schema.

    `reason` says what is wrong, never a value, and `path` where: `$.lines[2].price`. A map's key is
    a value, so the path has the number of the member instead.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self._steps: list[str] = []

    def inside(self, step: str) -> "PayloadMisfit":
        """Return the same error, seen from one level above."""
        self._steps.append(step)
        return self

    @property
    def path(self) -> str:
        """The place in the payload."""
        return "$" + "".join(reversed(self._steps))


class Number(str):
    """The text of a JSON number."""

    __slots__ = ()

    @property
    def is_integer(self) -> bool:
        """Whether it has neither a fraction nor an exponent."""
        return not set(self) & set(".eE")


class Object(dict[str, Any]):
    """A JSON object; `repeated` is a name that it has more than once."""

    repeated: str | None = None


def parse_payload(text: bytes) -> Any:  # noqa: ANN401 - JSON
    """Return JSON with `Number` and `Object`, and with texts that are valid Unicode.

    Raises:
        PayloadMisfit: the text is not JSON, or nested too deeply.

    """
    try:
        value = json.loads(
            text.decode(),
            object_pairs_hook=_object,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError:
        raise PayloadMisfit("is not JSON: not UTF-8") from None
    except json.JSONDecodeError as error:
        raise PayloadMisfit(f"is not JSON: {error.msg} at character {error.pos + 1}") from None
    _check_depth(value)
    return value


def _object(members: list[tuple[str, Any]]) -> Object:
    parsed = Object(members)
    if len(parsed) != len(members):
        names = [name for name, _ in members]
        parsed.repeated = next(name for name in names if names.count(name) > 1)
    return parsed


def _refuse_constant(_name: str) -> NoReturn:
    raise PayloadMisfit("is not JSON: NaN or an infinity without quotes")


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for outer in level for item in _items(outer)]
        if not level:
            return
    raise _too_deep()


def _items(value: object) -> list[Any]:
    """Return the objects and arrays in an object or an array."""
    if not isinstance(value, Object | list):
        return []
    inner = value.values() if isinstance(value, Object) else value
    return [item for item in inner if isinstance(item, Object | list)]


def _too_deep() -> PayloadMisfit:
    return PayloadMisfit(f"is nested more than {MAX_DEPTH} levels deep")


def kind_of(value: object) -> str:
    """Return what a JSON value is, in the terms of JSON."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case Number():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
