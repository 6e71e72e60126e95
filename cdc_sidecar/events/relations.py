"""The relations of the stream, and the sink that each one's rows go to.

A row names its relation by oid alone. A Relation message has described that oid before.
"""

from cdc_sidecar.errors import LayoutRefused, ProtocolViolation
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.outbox import OutboxTable
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.events.sink import IgnoredTable, RowSink
from cdc_sidecar.events.table import CapturedTable
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.types import LayoutFacts


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
        self.sinks: dict[int, RowSink] = {}
        """The open sinks by oid; where there is none, the reader calls `open`."""

    def describe(self, relation: Relation) -> None:
        """Accept a Relation message; one that repeats a known layout changes nothing.

        Raises:
            LayoutRefused: a captured table has a name that is not captured.

        """
        known = self._described.get(relation.oid)
        if known == relation:
            return
        if (
            known
            and self._capture.captures(known.qualified_name)
            and not self._capture.captures(relation.qualified_name)
        ):
            raise LayoutRefused(
                f"captured table {known.qualified_name} is now {relation.qualified_name}",
                cause="ALTER TABLE … RENAME or SET SCHEMA",
                hint="configure the new name, or rename the table back",
            )
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
        sink = self.sinks[oid] = self._open(relation)
        return sink

    def _open(self, relation: Relation) -> RowSink:
        """Ask for the catalog's facts only if the relation is captured."""
        name = relation.qualified_name
        registry, catalog = self._schemas.registry, self._catalog
        if outbox := self._capture.outbox(name):
            facts = self._facts(relation)
            self._capture.check_outbox(relation, facts, outbox)
            return OutboxTable(relation, outbox, facts, registry, catalog)
        if table := self._capture.table(name):
            plan = self._capture.plan(relation, self._facts(relation), table)
            return CapturedTable(self._source, relation, table, plan, registry, catalog)
        return IgnoredTable(relation)

    def _facts(self, relation: Relation) -> LayoutFacts:
        """Return the stored facts of a layout, or the catalog's, which are then stored."""
        facts = self._schemas.layouts.facts(relation)
        if facts is None:
            facts = self._catalog.layout_facts(relation)
            self._schemas.layouts.store(relation, facts)
        return facts
