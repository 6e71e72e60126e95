"""The shop of the contract's examples, as the assembler sees it: relations, facts, a clock."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cdc_sidecar.config.model import Table
from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.events.assembler import Assembler
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.catalog import TopicFacts
from cdc_sidecar.events.counts import Counts, add_counts
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.plan import Plan, compile_plan
from cdc_sidecar.events.position import Position
from cdc_sidecar.events.reader import EventReader
from cdc_sidecar.events.record import Record
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.pgoutput import Relation, RelationColumn, ReplicaIdentity
from cdc_sidecar.postgres.types import Builtin, LayoutFacts, Lineage, TypeFacts, TypeKind
from tests.unit import wire

SERVICE = "shop"
RECEIVED = 1_700_000_001_000_999
"""The time on the clock of every test, in microseconds since 1970."""

NUMERIC_10_2 = (10 << 16 | 2) + 4
"""The type modifier of numeric(10,2)."""

PARTITIONS = 3

BIGINT = TypeFacts(Builtin.INT8.value, -1, "bigint", "int8", TypeKind.BASE)
INTEGER = TypeFacts(Builtin.INT4.value, -1, "integer", "int4", TypeKind.BASE)
TEXT = TypeFacts(Builtin.TEXT.value, -1, "text", "text", TypeKind.BASE)
BYTEA = TypeFacts(Builtin.BYTEA.value, -1, "bytea", "bytea", TypeKind.BASE)
JSONB = TypeFacts(Builtin.JSONB.value, -1, "jsonb", "jsonb", TypeKind.BASE)
UUID = TypeFacts(Builtin.UUID.value, -1, "uuid", "uuid", TypeKind.BASE)
DATE = TypeFacts(Builtin.DATE.value, -1, "date", "date", TypeKind.BASE)
BOOLEAN = TypeFacts(Builtin.BOOL.value, -1, "boolean", "bool", TypeKind.BASE)
TOTAL = TypeFacts(Builtin.NUMERIC.value, NUMERIC_10_2, "numeric(10,2)", "numeric", TypeKind.BASE)
TIMESTAMP = TypeFacts(
    Builtin.TIMESTAMP.value, -1, "timestamp without time zone", "timestamp", TypeKind.BASE
)
TIMESTAMPTZ = TypeFacts(
    Builtin.TIMESTAMPTZ.value, -1, "timestamp with time zone", "timestamptz", TypeKind.BASE
)


@dataclass(frozen=True, slots=True)
class Layout:
    """A relation with the facts that the catalog would give for it."""

    relation: Relation
    facts: LayoutFacts

    @property
    def oid(self) -> int:
        """The relation's oid."""
        return self.relation.oid


def layout(
    name: str,
    columns: Mapping[str, TypeFacts | None],
    *,
    key: tuple[str, ...] = (),
    identity: ReplicaIdentity = ReplicaIdentity.DEFAULT,
    oid: int = 16385,
    money_scale: int = 2,
) -> Layout:
    """Describe a table of schema `public`."""
    full = identity is ReplicaIdentity.FULL
    described = tuple(
        RelationColumn(
            full or column in key,
            column,
            facts.oid if facts else 99_999,
            facts.type_modifier if facts else -1,
        )
        for column, facts in columns.items()
    )
    relation = Relation(oid, "public", name, identity, described)
    return Layout(relation, LayoutFacts(key, tuple(columns.values()), money_scale))


ORDERS = layout(
    "orders",
    {"id": BIGINT, "status": TEXT, "total": TOTAL, "placed_at": TIMESTAMPTZ},
    key=("id",),
)
ORDER_ROW = ("1", "paid", "12.50", "2024-02-29 10:11:12.5+00")
OUTBOX = layout(
    "outbox",
    {"id": UUID, "aggregatetype": TEXT, "aggregateid": TEXT, "type": TEXT, "payload": JSONB},
    key=("id",),
    oid=16400,
)


def table(name: str = "public.orders", **settings: object) -> Table:
    """Configure a captured table; all columns, unless said otherwise."""
    return Table.model_validate({"name": name, "columns": ["*"], **settings})


def outbox(**settings: object) -> Outbox:
    """Configure `public.outbox`."""
    return Outbox.model_validate({"table": "public.outbox", **settings})


def schema_id(framed: bytes | None) -> int:
    """Return the schema id in Confluent's frame."""
    return int.from_bytes((framed or b"")[1:5], "big")


def compiled(described: Layout, **settings: object) -> Plan:
    """Compile a layout that is known to be without mistakes."""
    config = table(described.relation.qualified_name, **settings)
    plan, mistakes = compile_plan(described.relation, described.facts, config)
    assert plan is not None, mistakes
    return plan


class Shop:
    """One session of an assembler, whose catalog is the layouts it was given."""

    def __init__(  # noqa: PLR0913 - everything with which a session starts
        self,
        *layouts: Layout,
        tables: Iterable[Table] = (),
        outboxes: Iterable[Outbox] = (),
        prefixes: tuple[str, ...] = (),
        transaction_metadata: bool = False,
        ignored: tuple[str, ...] = (),
        schemas: SchemaLog | None = None,
        position: Position | None = None,
        max_message_bytes: int = 1_000_000,
        clock: Callable[[], int] = lambda: RECEIVED,
        read_facts: Callable[[Relation], LayoutFacts] | None = None,
    ) -> None:
        """Begin a session at `position`; a real catalog may stand in for the layouts."""
        self.schemas = schemas or SchemaLog()
        self.subjects = self.schemas.subjects
        self.layouts = {described.relation: described.facts for described in layouts}
        self.asked: list[Relation] = []
        self.lineages: dict[int, Lineage] = {}
        self.later: frozenset[str] = frozenset()
        self._read_facts = read_facts or self.layouts.__getitem__
        self._max_message_bytes = max_message_bytes
        self.reader = EventReader(self.subjects.schema)
        self.assembler = Assembler(
            Source("1.2.3", SERVICE, "shopdb"),
            Capture(
                SERVICE, tuple(tables), tuple(outboxes), prefixes, transaction_metadata, ignored
            ),
            self.schemas,
            position or Position(Lsn(1)),
            self,
            clock,
        )

    def layout_facts(self, relation: Relation) -> LayoutFacts:
        """Answer as a catalog of these layouts, and keep what was asked."""
        self.asked.append(relation)
        return self._read_facts(relation)

    def lineage(self, oid: int) -> Lineage:
        """Answer that a relation still has the name that it was described by."""
        return self.lineages.get(oid, Lineage(None))

    def later_columns(self, _relation: Relation) -> frozenset[str]:
        """Answer alike for every table."""
        return self.later

    def topic_facts(self, _name: str, *, parked: bool = False) -> TopicFacts:  # noqa: ARG002 - alike
        """Answer alike for every topic."""
        return TopicFacts(PARTITIONS, self._max_message_bytes)

    def feed(self, *frames: bytes) -> None:
        """Feed whole frames."""
        for frame in frames:
            self.assembler.feed(frame)

    def batches(self) -> list[Batch]:
        """Take all that is whole, a move of the position included."""
        return self.assembler.collect(checkpoint=True)

    def publish(self, *frames: bytes) -> "Published":
        """Feed whole frames and take what they make."""
        self.feed(*frames)
        return Published(self.batches(), self.reader)

    def transaction(self, *changes: bytes, final_lsn: int = 5000, xid: int = 700) -> "Published":
        """Publish one transaction whose changes follow each other by 10 bytes."""
        return self.publish(*transaction(*changes, final_lsn=final_lsn, xid=xid))


@dataclass(frozen=True, slots=True)
class Published:
    """The batches that came out, and their records as a consumer reads them."""

    batches: list[Batch]
    reader: EventReader

    @property
    def records(self) -> list[Record]:
        """Every record, in order, as though nothing were split."""
        return [
            record
            for batch in self.batches
            for record in (*batch.records, *([batch.end.record(None)] if batch.end else []))
        ]

    @property
    def topics(self) -> list[str]:
        """The topic of every record."""
        return [record.topic for record in self.records]

    @property
    def values(self) -> list[Any]:
        """Every value, decoded; None for a tombstone."""
        return [self._read(record.value) for record in self.records]

    @property
    def keys(self) -> list[Any]:
        """Every key, decoded; None if there is none."""
        return [self._read(record.key) for record in self.records]

    @property
    def counts(self) -> Counts:
        """The counts of all batches."""
        whole: Counts = {}
        for batch in self.batches:
            add_counts(whole, batch.counts)
        return whole

    def _read(self, framed: bytes | None) -> Any:  # noqa: ANN401 - a published value
        return None if framed is None else self.reader.read(framed)


def transaction(*changes: bytes, final_lsn: int = 5000, xid: int = 700) -> list[bytes]:
    """Return the frames of a transaction; Relation and Type messages have no LSN."""
    first = final_lsn - 10 * len(changes)
    frames = [wire.frame(first, wire.begin(final_lsn, xid))]
    lsn = first
    for change in changes:
        described = change[:1] in (b"R", b"Y", b"O")
        frames.append(wire.frame(0 if described else lsn, change))
        lsn += 0 if described else 10
    return [*frames, wire.frame(final_lsn + 50, wire.commit(final_lsn, final_lsn + 50))]
