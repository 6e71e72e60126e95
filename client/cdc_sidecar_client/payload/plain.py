"""Turns an event without a schema into JSON: any JSON goes."""

import math
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from cdc_sidecar_client.payload.misfit import Misfit
from cdc_sidecar_client.payload.objects import is_array, kind_of, members_of, unwrap

Value = Any
Json = Any


def encode_plain(value: Value) -> Json:
    """Return an event as JSON: a decimal, a uuid, a date and a time become texts.

    Raises:
        Misfit: a value has no JSON; the error has the path.

    """
    try:
        return _encode(value)
    except RecursionError:
        raise Misfit("is nested too deeply") from None


def _encode(value: Value) -> Json:
    value = unwrap(value)
    if isinstance(value, Enum):
        return _encode(value.value)
    members = members_of(value)
    if members is not None:
        return {_key(key): _inside(f".{key}", item) for key, item in members.items()}
    if is_array(value):
        return [_inside(f"[{number}]", item) for number, item in enumerate(value)]
    return _scalar(value)


def _inside(step: str, value: Value) -> Json:
    try:
        return _encode(value)
    except Misfit as error:
        raise error.inside(step) from None


def _key(key: Value) -> str:
    if not isinstance(key, str):
        raise Misfit(f"has a key that is {kind_of(key)}, and JSON has strings")
    return key


def _scalar(value: Value) -> Json:
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case Decimal() if value.is_finite():
            return str(value)
        case UUID():
            return str(value)
        case date() | datetime() | time():
            return value.isoformat()
        case _:
            reason = f"is {kind_of(value)}, for which JSON has no value: give the event a schema"
            raise Misfit(reason)
