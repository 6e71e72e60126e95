"""The catalog's facts about types that a plan needs, as values that can be stored.

Built-in types are known by their oid, which Postgres never changes (`pg_type.dat`).
"""

from dataclasses import dataclass
from enum import Enum

FIRST_USER_OID = 16384
"""The first oid of objects that users and extensions create (`FirstNormalObjectId`)."""


class TypeKind(Enum):
    """`pg_type.typtype`, with true arrays separated from other base types."""

    BASE = "b"
    ARRAY = "a"
    COMPOSITE = "c"
    DOMAIN = "d"
    ENUM = "e"
    PSEUDO = "p"
    RANGE = "r"
    MULTIRANGE = "m"


class Builtin(Enum):
    """The built-in types that have an Avro form of their own; all others are sent as text."""

    BOOL = 16
    BYTEA = 17
    CHAR = 18
    NAME = 19
    INT8 = 20
    INT2 = 21
    INT4 = 23
    TEXT = 25
    OID = 26
    XID = 28
    CID = 29
    JSON = 114
    XML = 142
    FLOAT4 = 700
    FLOAT8 = 701
    MONEY = 790
    BPCHAR = 1042
    VARCHAR = 1043
    DATE = 1082
    TIME = 1083
    TIMESTAMP = 1114
    TIMESTAMPTZ = 1184
    INTERVAL = 1186
    TIMETZ = 1266
    NUMERIC = 1700
    UUID = 2950
    JSONB = 3802


@dataclass(frozen=True, slots=True)
class TypeFacts:
    """One type with its modifier, resolved down to its base or element."""

    oid: int
    type_modifier: int  # -1: none; a domain or array has the one of its base or element
    name: str  # format_type() with an empty search_path
    typname: str
    kind: TypeKind
    delimiter: str = ","  # between the elements of an array of this type
    base: "TypeFacts | None" = None  # the base of a domain, the element of an array


@dataclass(frozen=True, slots=True)
class LayoutFacts:
    """The catalog's facts about one relation layout when it was first seen."""

    key_columns: tuple[str, ...]  # of the replica identity's index, in its order; may be empty
    types: tuple[TypeFacts | None, ...]  # for each column; None if the type was dropped
    money_scale: int  # fraction digits of the database's lc_monetary


def decimal_of(type_modifier: int) -> tuple[int, int] | None:
    """Return (precision, scale) of a numeric's modifier, or None if it has no modifier.

    The scale is an 11-bit two's complement number since version 15 (`numeric.c`).
    """
    if type_modifier < 0:
        return None
    packed = type_modifier - 4
    scale = packed & 0x7FF
    return packed >> 16, scale - 0x800 if scale & 0x400 else scale
