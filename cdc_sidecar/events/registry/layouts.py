"""The catalog's facts about relation layouts, as they were when a layout was first seen.

A replay takes the stored facts, because the catalog may have changed since.
"""

from cdc_sidecar.events.registry.pending import PendingRecords
from cdc_sidecar.events.registry.records import StoredLayout, encode_layout, layout_digest
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.types import LayoutFacts


class LayoutStore:
    """The facts of every layout that was captured."""

    def __init__(self, pending: PendingRecords) -> None:
        self._pending = pending
        self._facts: dict[str, LayoutFacts] = {}

    def load(self, layout: StoredLayout) -> None:
        """Add a layout from the schemas topic."""
        self._facts[layout.digest] = layout.facts

    def facts(self, relation: Relation) -> LayoutFacts | None:
        """Return the stored facts of a relation layout."""
        return self._facts.get(layout_digest(relation))

    def store(self, relation: Relation, facts: LayoutFacts) -> None:
        """Store the facts of a layout; its record waits to be drained."""
        layout = StoredLayout(layout_digest(relation), relation.qualified_name, facts)
        self.load(layout)
        self._pending.add(encode_layout(layout))
