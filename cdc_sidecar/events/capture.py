"""What is captured: which relation is which configured table or outbox, and its sink."""

import fnmatch
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cdc_sidecar.config.model import Config, Outbox, Table
from cdc_sidecar.errors import LayoutRefused
from cdc_sidecar.events.names import ambiguity, length_mistakes, table_topic
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
        named = self.name_mistakes(relation)
        outbox = self.outbox(relation.qualified_name)
        if outbox:
            return named + outbox_mistakes(relation, facts, outbox)
        table = self.table(relation.qualified_name)
        return named + compile_plan(relation, facts, table)[1] if table else []

    def name_mistakes(self, relation: Relation) -> list[str]:
        """Return what keeps a relation that is captured from having a name of its own."""
        namespace, name = relation.namespace, relation.name
        found = ambiguity(namespace, name)
        if not self.outbox(relation.qualified_name):
            found += length_mistakes(table_topic(self.service, namespace, name))
        return [f"{relation.qualified_name}: {mistake}" for mistake in found]

    def check_keys(self, tables: Mapping[Relation, LayoutFacts], subjects: Subjects) -> None:
        """Check that the keys of layouts that were published before are what they were.

        A Relation flags the key's columns and does not order them: no row tells of the change.

        Raises:
            LayoutRefused: a primary key was made anew over the same columns in another order.

        """
        for relation, facts in tables.items():
            name = relation.qualified_name
            table, stored = self.table(name), subjects.layout(relation)
            if table is None or table.key or stored is None or self.outbox(name):
                continue
            was, now = stored.key_columns, facts.key_columns
            if was and now and was != now:
                raise LayoutRefused(
                    f"the key was ({', '.join(was)}) and is ({', '.join(now)})",
                    where=f"table {name}",
                    cause="the primary key was made anew; the stream does not say where",
                    hint=f"say key = {_spell(was)} to keep the key of its events, or"
                    f" key = {_spell(now)} to have another from here on",
                )

    def collisions(self, names: Iterable[str]) -> list[str]:
        """Return the tables whose names would become the same topic."""
        topics: dict[str, str] = {}
        found = []
        for name in sorted(name for name in names if self.table(name) and not self.outbox(name)):
            topic = table_topic(self.service, *name.split(".", 1))
            if topics.setdefault(topic, name) != name:
                found.append(f"{name} and {topics[topic]} would both be topic {topic}")
        return found


def open_sink(
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
        mistakes = capture.name_mistakes(relation) + outbox_mistakes(relation, known, outbox)
        if mistakes:
            raise _refusal(relation, mistakes)
        return OutboxTable(relation, outbox, known, subjects, topic_facts, counts)
    if table is None:
        return IgnoredTable(relation, counts)
    plan, mistakes = compile_plan(relation, facts(relation), table)
    mistakes = capture.name_mistakes(relation) + mistakes
    if plan is None or mistakes:
        raise _refusal(relation, mistakes)
    return CapturedTable(capture.service, relation, table, plan, subjects, topic_facts, counts)


def _spell(columns: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{column}"' for column in columns) + "]"


def _refusal(relation: Relation, mistakes: list[str]) -> LayoutRefused:
    return LayoutRefused(
        "; ".join(mistakes),
        where=f"table {relation.qualified_name}",
        cause="DDL changed the table after the sidecar started",
        hint='change its entry to fit (a new name, as = "text", key = [...]), then restart',
    )
