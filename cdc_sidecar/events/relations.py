"""The relations of the stream, and the sink that each one's rows go to.

A row names its relation by oid alone. A Relation message has described that oid before.
"""

from dataclasses import replace

from cdc_sidecar.errors import LayoutRefused, ProtocolViolation
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.outbox.table import OutboxTable
from cdc_sidecar.events.parking.rows import ParkedRows, ParkingTable
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.events.sink import IgnoredTable, RowSink
from cdc_sidecar.events.snapshot.watched import WatchedTable
from cdc_sidecar.events.snapshot.window import SnapshotWindow
from cdc_sidecar.events.table import CapturedTable
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.types import LayoutFacts, Lineage


class Relations:
    """Opens a sink for each relation version before its first row."""

    def __init__(
        self, capture: Capture, source: Source, schemas: SchemaLog, catalog: Catalog
    ) -> None:
        self._capture = capture
        self._source = source
        self._schemas = schemas
        self._catalog = catalog
        self._described: dict[int, Relation] = {}
        self._captured_as: dict[int, str] = {}  # names of the relations that were opened
        self.sinks: dict[int, RowSink] = {}
        """The open sinks by oid; where there is none, the reader calls `open`."""
        self.window: SnapshotWindow | None = None
        """The window that changes are reported to while snapshots are under way."""

    def describe(self, relation: Relation) -> None:
        """Accept a Relation message; one that repeats a known layout changes nothing."""
        if self._described.get(relation.oid) != relation:
            self._described[relation.oid] = relation
            self.sinks.pop(relation.oid, None)

    def name(self, oid: int) -> str | None:
        """Return `schema.table` for messages; None for an oid that was never described."""
        relation = self._described.get(oid)
        return relation.qualified_name if relation else None

    def open(self, oid: int) -> RowSink:
        """Open the sink of a relation version; this may ask the catalog and take long.

        Raises:
            ProtocolViolation: the relation was never described.
            LayoutRefused: it cannot be captured as configured.

        """
        relation = self._described.get(oid)
        if relation is None:
            raise ProtocolViolation(f"a change of relation {oid}, which was never described")
        sink = self._open(relation)
        if self.window and self.window.watches(oid):
            sink = WatchedTable(sink, self.window, oid, self._identity(relation))
        self.sinks[oid] = sink
        return sink

    def unwatch(self, oid: int) -> None:
        """Open the sink of a relation anew before its next row, without the window."""
        self.sinks.pop(oid, None)

    def _identity(self, relation: Relation) -> tuple[int, ...]:
        """Return the places of the columns that tell the rows of a relation from each other."""
        names = [column.name for column in relation.columns]
        return tuple(names.index(name) for name in self._facts(relation).key_columns)

    def _open(self, described: Relation) -> RowSink:
        """Ask for the catalog's facts only if the relation is captured."""
        relation = self._captured(described)
        if relation is None:
            return IgnoredTable(described)
        name = self._captured_as[relation.oid] = relation.qualified_name
        registry, catalog = self._schemas.registry, self._catalog
        if outbox := self._capture.outbox(name):
            facts = self._facts(relation)
            self._capture.check_outbox(relation, facts, outbox, catalog)
            sink = OutboxTable(relation, outbox, facts, registry, catalog)
            if outbox.on_error == "halt":
                return sink
            rows = ParkedRows.of_outbox(self._source.service, relation, outbox, registry, catalog)
            return ParkingTable(sink, rows)
        table = self._capture.table(name)
        assert table is not None  # noqa: S101 - it is captured, and not as an outbox
        plan = self._capture.plan(relation, self._facts(relation), table, catalog)
        captured = CapturedTable(self._source, relation, table, plan, registry, catalog)
        if table.on_error == "halt":
            return captured
        rows = ParkedRows.of_table(self._source.service, relation, plan, registry, catalog)
        return ParkingTable(captured, rows)

    def _captured(self, relation: Relation) -> Relation | None:
        """Return a relation under the name by which it is captured; None if it is ignored.

        The name in a Relation message is that of the time when its rows were written. The oid shows
        that a relation with a name that is not configured is a captured table, or a part of one.

        Raises:
            LayoutRefused: it was captured, and nothing shows where its rows belong.

        """
        name = relation.qualified_name
        if self._capture.captures(name):
            return relation
        if self._capture.ignores(name):
            return None
        lineage = self._catalog.lineage(relation.oid)
        former = self._capture.captured_formerly(name)
        for present in (former, lineage.name, *lineage.ancestors):
            if present and self._capture.captures(present):
                namespace, _, table = present.partition(".")
                return replace(relation, namespace=namespace, name=table)
        self._check_never_captured(relation, lineage)
        return None

    def _check_never_captured(self, relation: Relation, lineage: Lineage) -> None:
        """Check that no row of a captured table would be left out."""
        known = self._schemas.tables.get(relation.oid)
        earlier = known.name if known else None
        names = (self._captured_as.get(relation.oid), earlier, *lineage.partitions)
        captured = next((name for name in names if name and self._capture.captures(name)), None)
        if captured:
            raise _other_name(relation.qualified_name, captured, lineage.name)

    def _facts(self, relation: Relation) -> LayoutFacts:
        """Return the stored facts of a layout, or the catalog's, which are then stored."""
        facts = self._schemas.layouts.facts(relation)
        if facts is None:
            facts = self._catalog.layout_facts(relation)
            known = self._schemas.tables.get(relation.oid)
            if known and not self._capture.outbox(relation.qualified_name):
                self._capture.check_key(relation, facts, known.key)
            self._schemas.layouts.store(relation, facts)
        return facts


def _other_name(name: str, captured: str, present: str | None) -> LayoutRefused:
    """Return the error of rows of a captured table under a name that is not configured."""
    now = f"is {present}" if present else "was dropped"
    return LayoutRefused(
        f"rows of captured table {captured} have the name {name}",
        cause=f"a rename, SET SCHEMA, or a changed publication; the table now {now}",
        hint=f'to publish them, set former_names = ["{name}"] in the entry of {captured}; to leave'
        f' them out, set ignored_tables = ["{name}"] in [postgres]; then restart',
    )
