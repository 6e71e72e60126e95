"""The catalog's facts about types that a plan needs, as values that can be stored.

Built-in types are known by their oid, which Postgres never changes (`pg_type.dat`).
"""

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Lineage:
    """The present names of a relation and of the partitions around it, each `schema.table`."""

    name: str | None  # None if it was dropped
    ancestors: tuple[str, ...] = ()  # the partitioned tables that it is a part of, nearest first
    partitions: tuple[str, ...] = ()  # its own partitions, of every level


@dataclass(frozen=True, slots=True)
class Membership:
    """The membership of a table in a publication, with the traces that a change of it leaves."""

    publication: str
    version: str  # oid and xmin of the publication's row
    entries: tuple[str, ...]  # the publication's entries that include it; empty for ALL TABLES
    definition: str  # column list and row filter of its own entry
    storage: Mapping[str, str]  # by oid of a table; rewriting and attaching it change the value

    def interruption(self, now: "Membership", *, same_layout: bool) -> str | None:
        """Return why changes may be missing between this moment and `now`; None if none can be.

        An entry that was replaced together with its column list or row filter is no sign: one ALTER
        PUBLICATION … SET TABLE does that.
        """
        if self.publication != now.publication:
            return None
        if self.version != now.version:
            return "the publication was altered, so operations may have been left out for a while"
        if self.entries and not set(self.entries) & set(now.entries):
            if self.definition != now.definition:
                return None
            return "it was taken out of the publication and put back"
        shared = self.storage.keys() & now.storage.keys()
        if same_layout and any(self.storage[oid] != now.storage[oid] for oid in shared):
            return "it was rewritten, as by SET UNLOGGED, or a partition was detached for a while"
        return None
