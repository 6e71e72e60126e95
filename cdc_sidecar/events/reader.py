"""Reads events back, for people and tests: fastavro decodes, and values become what JSON can hold.

fastavro's converters raise on ±infinity, BC, years beyond 9999 and 24:00. Values of tables are
therefore read without logical types, and this module spells dates, times and decimals exactly, as
text. Outbox events may have maps and unions of several types, which fastavro alone tells apart.
"""

import io
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, BinaryIO, Final

import fastavro

from cdc_sidecar.errors import SchemasUnreadable
from cdc_sidecar.events.values import DAY, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN

_HEADER: Final = 5  # bytes of Confluent's frame


class EventReader:
    """Decodes Confluent-framed Avro with the schemas of a registry."""

    def __init__(self, schema_of: Callable[[int], str | None]) -> None:
        self._schema_of = schema_of
        self._decoders: dict[int, Callable[[BinaryIO], Any]] = {}

    def read(self, framed: bytes) -> Any:  # noqa: ANN401 - a value of the schema
        """Decode a framed value into what JSON can hold; bytes become hex text.

        Raises:
            SchemasUnreadable: it is not framed, or its schema is not known.

        """
        if len(framed) < _HEADER or framed[0]:
            raise SchemasUnreadable(f"{len(framed)} bytes without Confluent's frame")
        decode = self._decoder(int.from_bytes(framed[1:_HEADER], "big"))
        return decode(io.BytesIO(framed[_HEADER:]))

    def _decoder(self, identifier: int) -> Callable[[BinaryIO], Any]:
        decode = self._decoders.get(identifier)
        if decode is None:
            text = self._schema_of(identifier)
            if text is None:
                raise SchemasUnreadable(f"schema id {identifier} is not in the registry")
            decode = self._decoders[identifier] = _decoder_of(json.loads(text))
        return decode


def _decoder_of(schema: Any) -> Callable[[BinaryIO], Any]:  # noqa: ANN401 - JSON
    """Return the function that decodes a value; what depends on the schema alone is done once."""
    if not is_simple(schema):
        whole = fastavro.parse_schema(schema)
        return lambda stream: _spell_any(fastavro.schemaless_reader(stream, whole, None))
    plain = fastavro.parse_schema(without_logical_types(schema))
    names = named_types(schema)
    return lambda stream: spell(schema, fastavro.schemaless_reader(stream, plain, None), names)


def is_simple(schema: Any) -> bool:  # noqa: ANN401 - JSON
    """Return whether a schema has no map, and only unions of null with one type, as ours are."""
    match schema:
        case list():
            return len(schema) <= 2 and all(map(is_simple, schema))  # noqa: PLR2004 - null and it
        case {"type": "map"}:
            return False
        case dict():
            parts = [field["type"] for field in schema.get("fields", ())]
            return all(map(is_simple, [*parts, schema.get("items"), schema["type"]]))
        case _:
            return True


def _spell_any(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a value that fastavro has read as JSON can hold it."""
    match value:
        case dict():
            return {name: _spell_any(item) for name, item in value.items()}
        case list():
            return [_spell_any(item) for item in value]
        case Decimal():
            return f"{value:f}"
        case None | bool() | int() | float() | str() | bytes():
            return _spell_plain(value)
        case _:
            return str(value)


def without_logical_types(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a schema whose types are only Avro's own."""
    if isinstance(schema, dict):
        return {
            key: without_logical_types(value)
            for key, value in schema.items()
            if key != "logicalType"
        }
    if isinstance(schema, list):
        return [without_logical_types(item) for item in schema]
    return schema


def named_types(schema: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return every record of a schema by its bare name, which our schemas refer to."""
    if isinstance(schema, list):
        return {name: found for item in schema for name, found in named_types(item).items()}
    if not isinstance(schema, dict):
        return {}
    own = {schema["name"]: schema} if schema.get("type") == "record" else {}
    parts = [field["type"] for field in schema.get("fields", ())] + [schema.get("items")]
    return own | named_types(parts) | named_types(schema["type"])


def spell(schema: Any, value: Any, names: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Return a value that was read without logical types as JSON can hold it.

    Exact decimals, dates and times become text; so do NaN and the infinities.
    """
    if isinstance(schema, str):
        return spell(names[schema], value, names) if schema in names else _spell_plain(value)
    if isinstance(schema, list):
        if value is None:
            return None
        return spell(next(branch for branch in schema if branch != "null"), value, names)
    match schema["type"]:
        case "record":
            fields = schema["fields"]
            return {
                field["name"]: spell(field["type"], value[field["name"]], names) for field in fields
            }
        case "array":
            return [spell(schema["items"], item, names) for item in value]
        case _:
            return _spell_logical(schema, value)


def _spell_logical(schema: Mapping[str, Any], value: Any) -> Any:  # noqa: ANN401 - JSON
    match schema.get("logicalType"):
        case "decimal":
            unscaled = int.from_bytes(value, "big", signed=True)
            return spell_decimal(unscaled, schema["scale"])
        case "date":
            return spell_date(value)
        case "time-micros":
            return spell_time(value)
        case "timestamp-micros":
            return spell_timestamp(value, "+00")
        case "local-timestamp-micros":
            return spell_timestamp(value, "")
        case _:
            return _spell_plain(value)


def _spell_plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):  # noqa: PLR0124 - NaN
        return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")  # noqa: PLR0124 - NaN alone differs from itself
    return value


def spell_decimal(unscaled: int, scale: int) -> str:
    """Spell an unscaled number and its scale as Postgres does."""
    digits = Decimal(unscaled).as_tuple().digits
    text = "".join(map(str, digits)).rjust(scale + 1, "0")
    whole, fraction = text[: len(text) - scale], text[len(text) - scale :]
    return ("-" if unscaled < 0 else "") + whole + ("." + fraction if fraction else "")


def spell_date(days: int) -> str:
    """Spell days since 1970-01-01 as Postgres does, the ends of int32 as ±infinity."""
    if days in (INT32_MIN, INT32_MAX):
        return "infinity" if days > 0 else "-infinity"
    year, month, day = civil_from_days(days)
    shown = year if year > 0 else 1 - year
    return f"{shown:04d}-{month:02d}-{day:02d}" + ("" if year > 0 else " BC")


def spell_time(microseconds: int) -> str:
    """Spell microseconds since midnight; a whole day is 24:00:00."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    text = f"{hour:02d}:{minute:02d}:{second:02d}"
    return f"{text}.{fraction:06d}".rstrip("0") if fraction else text


def spell_timestamp(microseconds: int, zone: str) -> str:
    """Spell microseconds since 1970 as Postgres does, the ends of int64 as ±infinity."""
    if microseconds in (INT64_MIN, INT64_MAX):
        return "infinity" if microseconds > 0 else "-infinity"
    days, rest = divmod(microseconds, DAY)
    date, _, era = spell_date(days).partition(" ")
    return f"{date} {spell_time(rest)}{zone}" + (f" {era}" if era else "")


def civil_from_days(days: int) -> tuple[int, int, int]:
    """Return year (0 is 1 BC), month and day of the days since 1970-01-01.

    After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    """
    era, day_of_era = divmod(days + 719468, 146097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9  # noqa: PLR2004 - as above
    year = year_of_era + era * 400 + (month <= 2)  # noqa: PLR2004 - the year begins in March
    return year, month, day
