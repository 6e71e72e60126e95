"""The types of keys that tables and outboxes share: names of tables and columns, and policies."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator


def _table_name(text: str) -> str:
    schema, dot, table = text.partition(".")
    if not (schema and dot and table):
        message = 'must be schema.table, such as "public.orders"'
        raise ValueError(message)
    return text


def not_empty(columns: tuple[object, ...]) -> tuple[object, ...]:
    """Check that a list of columns names one."""
    if not columns:
        message = 'must contain at least one column or "*"'
        raise ValueError(message)
    return columns


def _column_entry(value: object) -> object:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        names = [name for name in value if isinstance(name, str) and name != "*"]
        if len(names) == len(value) > 1:
            return tuple(names)
    message = "must be the name of a column, or a list of the names that one column has had"
    raise ValueError(message)


TableName = Annotated[str, AfterValidator(_table_name)]
ColumnEntry = Annotated[str | tuple[str, ...], BeforeValidator(_column_entry)]
OnError = Literal["halt", "park"]
