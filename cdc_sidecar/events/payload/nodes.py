"""The nodes of a payload's plan: a graph of types, which both twins of the encoder walk."""

from dataclasses import dataclass, field
from enum import Enum, auto


class Kind(Enum):
    """The kinds of values that are encoded differently."""

    NULL = auto()
    BOOLEAN = auto()
    INT = auto()
    LONG = auto()
    FLOAT = auto()
    DOUBLE = auto()
    BYTES = auto()
    STRING = auto()
    FIXED = auto()
    ENUM = auto()
    ARRAY = auto()
    MAP = auto()
    RECORD = auto()
    UNION = auto()
    DECIMAL = auto()
    UUID = auto()
    DATE = auto()
    TIME_MILLIS = auto()
    TIME_MICROS = auto()
    TIMESTAMP_MILLIS = auto()
    TIMESTAMP_MICROS = auto()
    TIMESTAMP_NANOS = auto()
    LOCAL_TIMESTAMP_MILLIS = auto()
    LOCAL_TIMESTAMP_MICROS = auto()
    LOCAL_TIMESTAMP_NANOS = auto()


@dataclass(eq=False, slots=True)
class Field:
    """A field of a record; `default` is encoded, None where the schema has no default."""

    name: str
    node: "Node"
    default: bytes | None = None


@dataclass(eq=False, slots=True)
class Node:
    """One type of the schema. Types may refer to themselves, so nodes are compared by identity.

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
    fields: list[Field] = field(default_factory=list)
    items: tuple["Node", ...] = ()

    @property
    def name(self) -> str:
        """The name of the type in messages."""
        return self.names[0]

    @property
    def parts(self) -> list[tuple[str, "Node | None", bytes | None]]:
        """Its fields, symbols or items: the name, the type and the default of each."""
        fields = [(part.name, part.node, part.default) for part in self.fields]
        symbols = [(symbol, None, None) for symbol in self.symbols]
        return [*fields, *symbols, *(("", item, None) for item in self.items)]

    @property
    def tags(self) -> list[str]:
        """The names by which JSON may name a branch of this union."""
        items = self.items if self.kind is Kind.UNION else ()
        return [name for item in items for name in item.names]


def walk(plan: Node) -> list[Node]:
    """Return every node of a plan, the outer one first."""
    nodes, known = [plan], {id(plan)}
    for node in nodes:  # the list grows
        for _, inner, _ in node.parts:
            if inner is not None and id(inner) not in known:
                known.add(id(inner))
                nodes.append(inner)
    return nodes
