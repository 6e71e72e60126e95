"""The captured relations: the configuration of each one, and the mistakes in it."""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cdc_sidecar.config.model import Config, Outbox, Table
from cdc_sidecar.errors import LayoutRefused
from cdc_sidecar.events.fingerprint import fingerprint
from cdc_sidecar.events.names import ambiguity, length_mistakes, table_topic
from cdc_sidecar.events.outbox import outbox_mistakes
from cdc_sidecar.events.plan import Plan, compile_plan
from cdc_sidecar.events.registry.layouts import LayoutStore
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.types import LayoutFacts

PARTS_KEPT: Final = 100
"""Parts of which digests are kept: every commit writes them again, about 30 bytes for each part."""
PART_DIGITS: Final = 6
"""Hexadecimal digits of such a digest: two values of one key hardly ever share it."""


@dataclass(frozen=True, slots=True)
class Capture:
    """The part of the configuration that decides what is published, and how."""

    service: str
    tables: tuple[Table, ...]
    outboxes: tuple[Outbox, ...]
    prefixes: tuple[str, ...]
    transaction_metadata: bool = False  # whether BEGIN and END records are published

    @classmethod
    def of(cls, config: Config) -> "Capture":
        """Return that part of a configuration."""
        return cls(
            config.service.name,
            config.tables,
            config.outboxes,
            config.messages.prefixes,
            config.transactions.topic,
        )

    def table(self, name: str) -> Table | None:
        """Return the configuration of `schema.table`; an exact name takes precedence over globs."""
        exact = (table for table in self.tables if table.name == name)
        globs = (t for t in self.tables if t.is_glob and fnmatch.fnmatchcase(name, t.name))
        return next(exact, None) or next(globs, None)

    def outbox(self, name: str) -> Outbox | None:
        """Return the outbox configuration of `schema.table`."""
        return next((outbox for outbox in self.outboxes if outbox.table == name), None)

    def captures(self, name: str) -> bool:
        """Return whether rows of `schema.table` are published."""
        return self.outbox(name) is not None or self.table(name) is not None

    @property
    def fingerprint(self) -> str:
        """A digest of everything that changes which events a transaction makes."""
        keys: dict[str, object] = {
            "service.name": self.service,
            "tables": self.tables,
            "outboxes": self.outboxes,
            "messages.prefixes": self.prefixes,
        }
        if self.transaction_metadata:  # false is the default
            keys["transactions.topic"] = True
        return fingerprint(keys)

    @property
    def parts(self) -> dict[str, str]:
        """A digest of each part of the same, by its key: to say which part has changed."""
        keys: dict[str, object] = {
            "service.name": self.service,
            "messages.prefixes": self.prefixes,
            "transactions.topic": self.transaction_metadata,
            **{f"tables.{table.name}": table for table in self.tables},
            **{f"outboxes.{outbox.table}": outbox for outbox in self.outboxes},
        }
        if len(keys) > PARTS_KEPT:
            return {}
        return {
            key: fingerprint({key: value})[:PART_DIGITS] for key, value in keys.items() if value
        }

    def mistakes(self, relation: Relation, facts: LayoutFacts) -> list[str]:
        """Return the mistakes that keep a relation from being captured as configured."""
        named = self.name_mistakes(relation)
        outbox = self.outbox(relation.qualified_name)
        if outbox:
            return named + outbox_mistakes(relation, facts, outbox)
        table = self.table(relation.qualified_name)
        return named + compile_plan(relation, facts, table)[1] if table else []

    def plan(self, relation: Relation, facts: LayoutFacts, table: Table) -> Plan:
        """Return the plan of a relation version that appeared in the stream.

        Raises:
            LayoutRefused: it cannot be captured as configured.

        """
        plan, mistakes = compile_plan(relation, facts, table)
        mistakes = self.name_mistakes(relation) + mistakes
        if plan is None or mistakes:
            raise _refusal(relation, mistakes)
        return plan

    def check_outbox(self, relation: Relation, facts: LayoutFacts, outbox: Outbox) -> None:
        """Check an outbox's relation version that appeared in the stream.

        Raises:
            LayoutRefused: it cannot be captured as configured.

        """
        mistakes = self.name_mistakes(relation) + outbox_mistakes(relation, facts, outbox)
        if mistakes:
            raise _refusal(relation, mistakes)

    def name_mistakes(self, relation: Relation) -> list[str]:
        """Return why a captured relation has no name or topic of its own."""
        namespace, name = relation.namespace, relation.name
        found = ambiguity(namespace, name)
        if not self.outbox(relation.qualified_name):
            found += length_mistakes(table_topic(self.service, namespace, name))
        return [f"{relation.qualified_name}: {mistake}" for mistake in found]

    def check_keys(self, tables: Mapping[Relation, LayoutFacts], layouts: LayoutStore) -> None:
        """Check that the keys of layouts that were published before have not changed.

        A Relation message flags the columns of the key but does not order them, so the stream does
        not show such a change.

        Raises:
            LayoutRefused: a primary key was re-created over the same columns in another order.

        """
        for relation, facts in tables.items():
            name = relation.qualified_name
            table, stored = self.table(name), layouts.facts(relation)
            if table is None or table.key or stored is None or self.outbox(name):
                continue
            was, now = stored.key_columns, facts.key_columns
            if was and now and was != now:
                raise LayoutRefused(
                    f"the key was ({', '.join(was)}) and is ({', '.join(now)})",
                    where=f"table {name}",
                    cause="the primary key was re-created; the stream does not show where",
                    hint=f"set key = {_spell(was)} to keep the key of its events, or"
                    f" key = {_spell(now)} to change it from here on",
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


def _spell(columns: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{column}"' for column in columns) + "]"


def _refusal(relation: Relation, mistakes: list[str]) -> LayoutRefused:
    return LayoutRefused(
        "; ".join(mistakes),
        where=f"table {relation.qualified_name}",
        cause="DDL changed the table after the sidecar started",
        hint='change its entry to fit (a new name, as = "text", key = [...]), then restart',
    )
