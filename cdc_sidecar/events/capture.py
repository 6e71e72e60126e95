"""What is captured: which relation is which configured table or outbox, and its sink."""

import fnmatch
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cdc_sidecar.config.model import Config, Outbox, Table
from cdc_sidecar.errors import LayoutRefused
from cdc_sidecar.events.names import table_topic
from cdc_sidecar.events.outbox import OutboxTable, outbox_mistakes
from cdc_sidecar.events.plan import compile_plan
from cdc_sidecar.events.subjects import Subjects
from cdc_sidecar.events.table import CapturedTable, IgnoredTable, RowSink, TopicFacts
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.types import LayoutFacts


@dataclass(frozen=True, slots=True)
class Capture:
    """The part of the configuration that decides what is published, and how."""

    service: str
    tables: tuple[Table, ...]
    outboxes: tuple[Outbox, ...]
    prefixes: tuple[str, ...]
    boundaries: bool = False  # whether BEGIN and END records are published

    @classmethod
    def of(cls, config: Config) -> "Capture":
        """Take it from a configuration."""
        return cls(
            config.service.name,
            config.tables,
            config.outboxes,
            config.messages.prefixes,
            config.transactions.topic,
        )

    def table(self, name: str) -> Table | None:
        """Return the configuration of `schema.table`: the exact name first, then the globs."""
        exact = (table for table in self.tables if table.name == name)
        globs = (t for t in self.tables if t.is_glob and fnmatch.fnmatchcase(name, t.name))
        return next(exact, None) or next(globs, None)

    def outbox(self, name: str) -> Outbox | None:
        """Return the outbox configuration of `schema.table`."""
        return next((outbox for outbox in self.outboxes if outbox.table == name), None)

    def captures(self, name: str) -> bool:
        """Tell whether rows of `schema.table` are published."""
        return self.outbox(name) is not None or self.table(name) is not None

    @property
    def fingerprint(self) -> str:
        """A digest of everything that changes which events a transaction makes."""
        parts = [repr(part) for part in (self.service, self.tables, self.outboxes, self.prefixes)]
        parts += ["boundaries"] if self.boundaries else []
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def mistakes(self, relation: Relation, facts: LayoutFacts) -> list[str]:
        """Return what keeps a relation from being captured as configured."""
        outbox = self.outbox(relation.qualified_name)
        if outbox:
            return outbox_mistakes(relation, facts, outbox)
        table = self.table(relation.qualified_name)
        return compile_plan(relation, facts, table)[1] if table else []

    def collisions(self, names: Iterable[str]) -> list[str]:
        """Return the tables whose names would become the same topic."""
        topics: dict[str, str] = {}
        found = []
        for name in sorted(name for name in names if self.table(name) and not self.outbox(name)):
            topic = table_topic(self.service, *name.split(".", 1))
            if topics.setdefault(topic, name) != name:
                found.append(f"{name} and {topics[topic]} would both be topic {topic}")
        return found


def open_sink(  # noqa: PLR0913 - its collaborators
    capture: Capture,
    relation: Relation,
    facts: Callable[[Relation], LayoutFacts],
    subjects: Subjects,
    topic_facts: Callable[[str], TopicFacts],
    counts: Counter[tuple[str, str]],
) -> RowSink:
    """Return the sink of a relation version; asks for the catalog's facts only where needed.

    Raises:
        LayoutRefused: it cannot be captured as configured.

    """
    name = relation.qualified_name
    outbox, table = capture.outbox(name), capture.table(name)
    if outbox:
        known = facts(relation)
        mistakes = outbox_mistakes(relation, known, outbox)
        if mistakes:
            raise _refusal(relation, mistakes)
        return OutboxTable(relation, outbox, known, subjects, topic_facts, counts)
    if table is None:
        return IgnoredTable(relation, counts)
    plan, mistakes = compile_plan(relation, facts(relation), table)
    if plan is None:
        raise _refusal(relation, mistakes)
    return CapturedTable(capture.service, relation, table, plan, subjects, topic_facts, counts)


def _refusal(relation: Relation, mistakes: list[str]) -> LayoutRefused:
    return LayoutRefused(
        "; ".join(mistakes),
        where=f"table {relation.qualified_name}",
        cause="DDL changed the table after the sidecar started",
        cure='change its entry to fit (a new name, as = "text", key = [...]), then restart',
    )
