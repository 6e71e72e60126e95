"""What each relation of the stream is at the moment, and the sink of its rows.

Rows name their relation by oid alone; what that oid is, a Relation message has said before.
"""

from collections import Counter
from collections.abc import Callable

from cdc_sidecar.errors import LayoutRefused, ProtocolViolation
from cdc_sidecar.events.capture import Capture, open_sink
from cdc_sidecar.events.subjects import Subjects
from cdc_sidecar.events.table import RowSink, TopicFacts
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.types import LayoutFacts


class Relations(dict[int, RowSink]):
    """Sinks by oid; each relation version is compiled before its first row."""

    def __init__(
        self,
        capture: Capture,
        subjects: Subjects,
        counts: Counter[tuple[str, str]],
        *,
        read_facts: Callable[[Relation], LayoutFacts],
        topic_facts: Callable[[str], TopicFacts],
    ) -> None:
        super().__init__()
        self._capture = capture
        self._subjects = subjects
        self._counts = counts
        self._read_facts = read_facts
        self._topic_facts = topic_facts
        self._described: dict[int, Relation] = {}

    def describe(self, relation: Relation) -> None:
        """Take a Relation message; one that says nothing new changes nothing.

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
        self.pop(relation.oid, None)

    def name(self, oid: int) -> str | None:
        """Return `schema.table`, for messages; None of what was never described."""
        relation = self._described.get(oid)
        return relation.qualified_name if relation else None

    def __missing__(self, oid: int) -> RowSink:
        """Open the sink of a relation version.

        Raises:
            ProtocolViolation: the relation was never described.
            LayoutRefused: it cannot be captured as configured.

        """
        relation = self._described.get(oid)
        if relation is None:
            raise ProtocolViolation(f"a change of relation {oid}, which was never described")
        sink = open_sink(
            self._capture,
            relation,
            self._facts,
            self._subjects,
            self._topic_facts,
            self._counts,
        )
        self[oid] = sink
        return sink

    def _facts(self, relation: Relation) -> LayoutFacts:
        """Return the stored facts of a layout, or the catalog's, which are then stored."""
        facts = self._subjects.layout(relation)
        if facts is None:
            facts = self._read_facts(relation)
            self._subjects.register_layout(relation, facts)
        return facts
