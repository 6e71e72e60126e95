"""The types of a schema as a graph: one node for each type."""

from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """The kinds of types whose JSON differs; the value is the kind's name in messages."""

    NULL = "null"
    BOOLEAN = "boolean"
    INT = "int"
    LONG = "long"
    FLOAT = "float"
    DOUBLE = "double"
    BYTES = "bytes"
    STRING = "string"
    FIXED = "fixed"
    ENUM = "enum"
    ARRAY = "array"
    MAP = "map"
    RECORD = "record"
    UNION = "union"
    DECIMAL = "decimal"
    UUID = "uuid"
    DATE = "date"
    TIME_MILLIS = "time-millis"
    TIME_MICROS = "time-micros"
    TIMESTAMP_MILLIS = "timestamp-millis"
    TIMESTAMP_MICROS = "timestamp-micros"
    TIMESTAMP_NANOS = "timestamp-nanos"
    LOCAL_TIMESTAMP_MILLIS = "local-timestamp-millis"
    LOCAL_TIMESTAMP_MICROS = "local-timestamp-micros"
    LOCAL_TIMESTAMP_NANOS = "local-timestamp-nanos"

    @property
    def is_local(self) -> bool:
        """Whether it is a timestamp without an offset from UTC."""
        return self.name.startswith("LOCAL")

    @property
    def fraction_digits(self) -> int:
        """The digits that a time or a timestamp has after the second."""
        return _FRACTION_DIGITS[self.value.rpartition("-")[2]]


_FRACTION_DIGITS = {"millis": 3, "micros": 6, "nanos": 9}


@dataclass(eq=False, slots=True)
class Field:
    """A field of a record."""

    node: "Node"
    has_default: bool


@dataclass(eq=False, slots=True)
class Node:
    """One type of a schema. Types may refer to themselves, so nodes are compared by identity.

    `names` are those by which JSON may name a branch of a union: the full name, and for a named
    type the short one too. `items` are the type of an array's items, the type of a map's values,
    or the branches of a union. `size` is that of a fixed, and 0 of other types.
    """

    kind: Kind
    names: tuple[str, ...]
    size: int = 0
    precision: int = 0
    scale: int = 0
    symbols: tuple[str, ...] = ()
    fields: dict[str, Field] = field(default_factory=dict)
    items: tuple["Node", ...] = ()

    def __str__(self) -> str:
        if self.kind in (Kind.ENUM, Kind.FIXED, Kind.RECORD):
            return f"{self.kind.value} {self.names[0]}"
        if self.kind is Kind.DECIMAL:
            return f"decimal({self.precision}, {self.scale})"
        if self.kind is Kind.UNION:
            return "a union of " + ", ".join(map(str, self.items))
        return str(self.kind.value)

    def branch(self, tag: str) -> "Node | None":
        """Return the first branch of a union that has this name."""
        return next((item for item in self.items if tag in item.names), None)

    def tag(self, branch: "Node") -> str:
        """Return the name by which JSON selects a branch of this union."""
        names = (name for name in branch.names if self.branch(name) is branch)
        return next(names)
