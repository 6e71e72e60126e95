"""The captured relations: the configuration of each one, and the mistakes in it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from cdc_sidecar.config.model import Config, Table
from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.errors import LayoutRefused
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.fingerprint import fingerprint, without_defaults
from cdc_sidecar.events.names import ambiguity, length_mistakes, parked_topic, table_topic
from cdc_sidecar.events.outbox.columns import outbox_mistakes
from cdc_sidecar.events.outbox.event_types import check_schemas
from cdc_sidecar.events.own_block import cure_of_outbox, cure_of_table, cure_of_value
from cdc_sidecar.events.plan import Circumstances, Plan, compile_plan, missing_columns
from cdc_sidecar.events.registry.layouts import LayoutStore
from cdc_sidecar.postgres.pgoutput import Relation, ReplicaIdentity
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
    ignored: tuple[str, ...] = ()  # tables whose rows are left out, whatever they were before

    @classmethod
    def of(cls, config: Config) -> "Capture":
        """Return that part of a configuration.

        Raises:
            ConfigInvalid: the schemas of events are wrong.

        """
        check_schemas(config.outboxes)
        return cls(
            config.service.name,
            config.tables,
            config.outboxes,
            config.messages.prefixes,
            config.transactions.topic,
            config.postgres.ignored_tables,
        )

    def table(self, name: str) -> Table | None:
        """Return the configuration of `schema.table`; an exact name takes precedence over globs."""
        exact = (table for table in self.tables if table.name == name)
        globs = [table for table in self.tables if table.is_glob]
        listed = (table for table in globs if name in table.former_names)
        matching = (table for table in globs if table.matches(name))
        return next(exact, None) or next(listed, None) or next(matching, None)

    def outbox(self, name: str) -> Outbox | None:
        """Return the outbox configuration of `schema.table`."""
        return next((outbox for outbox in self.outboxes if outbox.table == name), None)

    def message_outbox(self, prefix: str) -> Outbox | None:
        """Return the outbox of the logical messages with a prefix."""
        return next((outbox for outbox in self.outboxes if outbox.prefix == prefix), None)

    def snapshot_table(self, name: str) -> Table | None:
        """Return the configuration of `schema.table`, unless it is an outbox."""
        return None if self.outbox(name) else self.table(name)

    def captures(self, name: str) -> bool:
        """Return whether rows of `schema.table` are published."""
        return self.outbox(name) is not None or self.table(name) is not None

    def captured_formerly(self, name: str) -> str | None:
        """Return the name of the table or outbox that lists `schema.table` as a former name."""
        tables = ((table.name, table.former_names) for table in self.tables if not table.is_glob)
        outboxes = ((outbox.name, outbox.former_names) for outbox in self.outboxes)
        return next((now for now, former in (*tables, *outboxes) if name in former), None)

    def ignores(self, name: str) -> bool:
        """Return whether rows of `schema.table` are left out on purpose."""
        return name in self.ignored

    @property
    def fingerprint(self) -> str:
        """A digest of everything that changes which events a transaction makes."""
        keys: dict[str, object] = {
            "service.name": self.service,
            "tables": self.tables,
            "outboxes": self.outboxes,
            "messages.prefixes": self.prefixes,
            "postgres.ignored_tables": self.ignored,
        }
        if self.transaction_metadata:  # false is the default
            keys["transactions.topic"] = True
        return fingerprint(keys)

    @property
    def parts(self) -> dict[str, str]:
        """A digest of each part of the same, by its key: to say which part has changed."""
        return {
            key: fingerprint({key: value})[:PART_DIGITS]
            for key, value in self._keys.items()
            if value
        }

    @property
    def settings(self) -> dict[str, object]:
        """Each part of the same, by its key, as JSON can hold it and without default values."""
        return {key: without_defaults(value) for key, value in self._keys.items()}

    @property
    def _keys(self) -> dict[str, object]:
        """The parts of the configuration by their keys; none if there are too many to be kept."""
        keys: dict[str, object] = {
            "service.name": self.service,
            "messages.prefixes": self.prefixes,
            "transactions.topic": self.transaction_metadata,
            "postgres.ignored_tables": self.ignored,
            **{f"tables.{table.name}": table for table in self.tables},
            **{f"outboxes.{outbox.name}": outbox for outbox in self.outboxes},
        }
        return keys if len(keys) <= PARTS_KEPT else {}

    def mistakes(
        self, relation: Relation, facts: LayoutFacts, known: Circumstances | None = None
    ) -> list[str]:
        """Return the mistakes that keep a relation from being captured as configured."""
        named = self.name_mistakes(relation)
        outbox = self.outbox(relation.qualified_name)
        if outbox:
            return named + outbox_mistakes(relation, facts, outbox)
        table = self.table(relation.qualified_name)
        return named + compile_plan(relation, facts, table, known)[1] if table else []

    def plan(self, relation: Relation, facts: LayoutFacts, table: Table, catalog: Catalog) -> Plan:
        """Return the plan of a relation version that appeared in the stream.

        A configured column that was added after this layout is left out.

        Raises:
            LayoutRefused: it cannot be captured as configured.

        """
        lacks = missing_columns(relation, table)
        later = catalog.later_columns(relation) if lacks else frozenset()
        plan, mistakes = compile_plan(relation, facts, table, Circumstances(later))
        mistakes = self.name_mistakes(relation) + mistakes
        if plan is None or mistakes:
            gone = catalog.lineage(relation.oid).name is None
            name = relation.qualified_name
            raise _refusal(relation, mistakes, cure_of_table(table, name, gone=gone))
        return replace(plan, where_to_set=cure_of_value(table, relation.qualified_name))

    def check_outbox(
        self, relation: Relation, facts: LayoutFacts, outbox: Outbox, catalog: Catalog
    ) -> None:
        """Check an outbox's relation version that appeared in the stream.

        Raises:
            LayoutRefused: it cannot be captured as configured.

        """
        mistakes = self.name_mistakes(relation) + outbox_mistakes(relation, facts, outbox)
        if mistakes:
            gone = catalog.lineage(relation.oid).name is None
            raise _refusal(relation, mistakes, cure_of_outbox(outbox, gone=gone))

    def name_mistakes(self, relation: Relation) -> list[str]:
        """Return why a captured relation has no name or topic of its own."""
        namespace, name = relation.namespace, relation.name
        found = ambiguity(namespace, name)
        config = self.outbox(relation.qualified_name) or self.table(relation.qualified_name)
        topic = table_topic(self.service, namespace, name)
        if config and config.on_error == "park":
            found += length_mistakes(parked_topic(topic))
        elif not self.outbox(relation.qualified_name):
            found += length_mistakes(topic)
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
                raise _other_key(name, was, now)

    def check_key(self, relation: Relation, facts: LayoutFacts, was: tuple[str, ...]) -> None:
        """Check that the catalog's key of a layout is the one of the table's earlier events.

        With REPLICA IDENTITY FULL the rows do not show their key, and the catalog may already have
        one that was made after them.

        Raises:
            LayoutRefused: the key may be one of another time.

        """
        name, now = relation.qualified_name, facts.key_columns
        table = self.table(name)
        columns = {column.name for column in relation.columns}
        full = relation.replica_identity is ReplicaIdentity.FULL
        if table and not table.key and full and was and was != now and set(was) <= columns:
            raise _other_key(name, was, now)

    def collisions(self, names: Iterable[str]) -> list[str]:
        """Return the tables whose names would become the same topic."""
        topics: dict[str, str] = {}
        found = []
        for name in sorted(name for name in names if self.table(name) and not self.outbox(name)):
            topic = table_topic(self.service, *name.split(".", 1))
            if topics.setdefault(topic, name) != name:
                found.append(f"{name} and {topics[topic]} would both be topic {topic}")
        return found


def _other_key(name: str, was: tuple[str, ...], now: tuple[str, ...]) -> LayoutRefused:
    change = f", or key = {_spell(now)} to change it from here on" if now else ""
    return LayoutRefused(
        f"the key was ({', '.join(was)}) and is ({', '.join(now)})",
        where=f"table {name}",
        cause="the primary key was re-created; the stream does not show where",
        hint=f"set key = {_spell(was)} to keep the key of its events{change}",
    )


def _spell(columns: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{column}"' for column in columns) + "]"


def _refusal(relation: Relation, mistakes: list[str], cure: str) -> LayoutRefused:
    return LayoutRefused(
        "; ".join(mistakes),
        where=f"table {relation.qualified_name}",
        cause="the row was written before or after DDL changed the table",
        hint=cure,
    )
