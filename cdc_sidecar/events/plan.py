"""A compiled relation version: which columns of its rows are sent, and how each one is written.

A plan is compiled once for each layout and configuration; `transcode` walks it for every row.
Compiling is pure: it takes the catalog's facts, and it returns all mistakes at once.
"""

from dataclasses import dataclass

from cdc_sidecar.config.model import Column, Table
from cdc_sidecar.events.mapping import TypeRefused, map_column
from cdc_sidecar.events.names import avro_name
from cdc_sidecar.events.schema import Field
from cdc_sidecar.events.values import Operation
from cdc_sidecar.postgres.pgoutput import Relation, ReplicaIdentity
from cdc_sidecar.postgres.types import LayoutFacts


@dataclass(frozen=True, slots=True)
class PlanColumn:
    """One column that is sent; `refuses` names the values that the on_error policy is for."""

    name: str  # Postgres's name, for messages
    field: Field
    operation: Operation
    refuses: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How to transcode the rows of one relation version."""

    columns: tuple[PlanColumn | None, ...]  # one per column of the Relation; None: not sent
    steps: tuple[tuple[Operation | None, bool], ...]  # the same, as (operation, nullable)
    key: tuple[int, ...]  # places among the *sent* columns, in key order; empty: no key
    width: bytes  # the number of columns, as a TupleData begins

    @property
    def sent(self) -> tuple[PlanColumn, ...]:
        """The columns that are sent, in row order."""
        return tuple(column for column in self.columns if column)

    @property
    def key_fields(self) -> tuple[Field, ...]:
        """The fields of the key, in key order."""
        sent = self.sent
        return tuple(sent[place].field for place in self.key)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row."""
        return tuple(column.field for column in self.sent)


def compile_plan(
    relation: Relation, facts: LayoutFacts, table: Table
) -> tuple[Plan | None, list[str]]:
    """Compile a relation by its facts and its configuration; return the plan, or the mistakes."""
    mistakes: list[str] = []
    key = _key_columns(relation, facts, table, mistakes)
    columns = tuple(
        _compile_column(relation, facts, place, table, key, mistakes)
        for place in range(len(relation.columns))
    )
    mistakes += _misfits(relation, table)
    sent = [column for column in columns if column]
    mistakes += _collisions([column.field.name for column in sent])
    places = {column.name: place for place, column in enumerate(sent)}
    if mistakes:
        return None, [f"{relation.qualified_name}: {mistake}" for mistake in mistakes]
    steps = tuple(
        (column.operation, column.field.nullable) if column else (None, False) for column in columns
    )
    width = len(columns).to_bytes(2, "big")
    return Plan(columns, steps, tuple(places[name] for name in key), width), []


def _key_columns(
    relation: Relation, facts: LayoutFacts, table: Table, mistakes: list[str]
) -> tuple[str, ...]:
    """Return the key's columns: those configured, else those of the replica identity."""
    identity = relation.replica_identity
    key = table.key or facts.key_columns
    if not key:
        if not table.unkeyed:
            mistakes.append(
                f"has no key (replica identity {identity.name}): add a primary key, or with"
                " REPLICA IDENTITY FULL configure key = [...], or say unkeyed = true"
            )
        return ()
    names = {column.name for column in relation.columns}
    identified = {column.name for column in relation.columns if column.is_key}
    for name in key:
        if name not in names:
            mistakes.append(f"key column {name} is not published")
        elif identity is not ReplicaIdentity.FULL and name not in identified:
            mistakes.append(f"key column {name} is not part of the replica identity")
        elif not table.sends(name):
            mistakes.append(f"key column {name} is missing in columns")
    return key


def _compile_column(
    relation: Relation,
    facts: LayoutFacts,
    place: int,
    table: Table,
    key: tuple[str, ...],
    mistakes: list[str],
) -> PlanColumn | None:
    name = relation.columns[place].name
    if not table.sends(name):
        return None
    config = table.column.get(name) or Column()
    known = facts.types[place]
    try:
        avro = map_column(known, config, facts)
    except TypeRefused as refused:
        mistakes.append(f'column {name} is of {refused}: set [tables.column.{name}] as = "text"')
        return None
    postgres_type = known.name if known else f"oid {relation.columns[place].type_oid}"
    field = Field(avro_name(config.rename or name), avro.schema, postgres_type, name not in key)
    return PlanColumn(name, field, avro.operation, avro.refuses)


def _misfits(relation: Relation, table: Table) -> list[str]:
    """Return which configured columns the table lacks, and which ones it has twice."""
    there = [column.name for column in relation.columns]
    known = {name for names in table.listed for name in names}
    blocks = ((name,) for name in table.column if name not in known)
    unlisted = [name for name in there if not table.sends(name)]
    mistakes = []
    for names in (*table.listed, *blocks):
        found = [name for name in names if name in there]
        if not found:
            missing = f"column {' or '.join(names)} does not exist or is not published"
            mistakes.append(missing + _renamed(names, unlisted))
        elif len(found) > 1:
            mistakes.append(
                f"{' and '.join(found)} are listed as one column, but the table has each of them"
            )
    return sorted(mistakes)


def _renamed(names: tuple[str, ...], unlisted: list[str]) -> str:
    """Return a hint that a missing column may have been renamed to one that is not listed."""
    if not unlisted:
        return ""
    entry = ", ".join(f'"{name}"' for name in (*names, unlisted[0]))
    return (
        f"; not listed: {', '.join(unlisted)} (a column that was renamed is listed by both names,"
        f" as [{entry}])"
    )


def _collisions(names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    return [f"two columns would become field {name}: rename one" for name in twice]
