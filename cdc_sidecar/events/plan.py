"""A compiled relation version: which columns of its rows are sent, and how each one is written.

A plan is compiled once for each layout and configuration; `transcode` walks it for every row.
Compiling is pure: it takes the catalog's facts, and it returns all mistakes at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cdc_sidecar.config.model import Column, Table
from cdc_sidecar.events.mapping import TypeRefused, map_column
from cdc_sidecar.events.names import avro_name
from cdc_sidecar.events.own_block import toml_key
from cdc_sidecar.events.schema import Field
from cdc_sidecar.events.values import Operation, encode_hash
from cdc_sidecar.postgres.pgoutput import Relation, ReplicaIdentity
from cdc_sidecar.postgres.sql_names import similar
from cdc_sidecar.postgres.types import LayoutFacts


@dataclass(frozen=True, slots=True)
class PlanColumn:
    """One column that is sent; `refuses` names the values that the on_error policy is for."""

    name: str  # Postgres's name, for messages
    field: Field
    operation: Operation
    refuses: str

    @property
    def is_masked(self) -> bool:
        """Whether only a hash of the value leaves the sidecar."""
        return self.operation is encode_hash


@dataclass(frozen=True, slots=True)
class Plan:
    """How to transcode the rows of one relation version."""

    columns: tuple[PlanColumn | None, ...]  # one per column of the Relation; None: not sent
    steps: tuple[tuple[Operation | None, bool], ...]  # the same, as (operation, nullable)
    key: tuple[int, ...]  # places among the *sent* columns, in key order; empty: no key
    width: bytes  # the number of columns, as a TupleData begins
    where_to_set: str = "; then restart"  # where a setting for one of the columns belongs

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


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the catalog knows of a table, apart from the layout that is compiled."""

    later: frozenset[str] = frozenset()  # columns that were added after this layout
    keyless: str = "set key = [...] to the columns that identify a row, or unkeyed = true"
    unsent: Mapping[str, str] = field(default_factory=dict)  # how to publish other columns
    is_present: bool = False  # whether the layout is the table's present one


def compile_plan(
    relation: Relation, facts: LayoutFacts, table: Table, known: Circumstances | None = None
) -> tuple[Plan | None, list[str]]:
    """Compile a relation by its facts and its configuration; return the plan, or the mistakes."""
    known = known or Circumstances()
    mistakes: list[str] = []
    key = _key_columns(relation, facts, table, known, mistakes)
    columns = tuple(
        _compile_column(relation, facts, place, table, key, mistakes)
        for place in range(len(relation.columns))
    )
    mistakes += _misfits(relation, table, known)
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
    relation: Relation,
    facts: LayoutFacts,
    table: Table,
    known: Circumstances,
    mistakes: list[str],
) -> tuple[str, ...]:
    """Return the key's columns: those configured, else those of the replica identity.

    Without a replica identity the server sends no old rows, and only inserts can have been written
    while it published updates. Any key is exact then.
    """
    identity = relation.replica_identity
    key = table.key or facts.key_columns
    identified = [column.name for column in relation.columns if column.is_key]
    if not key:
        if not table.unkeyed:
            flagged = "" if identity is ReplicaIdentity.FULL else _list(identified)
            cure = f"set key = [{flagged}]" if flagged else known.keyless
            mistakes.append(f"has no key (replica identity {identity.name}): {cure}")
        return ()
    names = {column.name for column in relation.columns}
    for name in key:
        if name not in names:
            missing = f"key column {name} does not exist or is not published"
            mistakes.append(missing + (_publish(name, known) or _choose_key(identified)))
        elif identified and name not in identified:
            mistakes.append(
                f"key column {name} is not part of the replica identity{_choose_key(identified)}"
            )
        elif not table.sends(name):
            mistakes.append(f'key column {name} is missing in columns: add "{name}"')
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
        cure = refused.cure.format(block=f"[tables.column.{toml_key(name)}]")
        mistakes.append(f"column {name} is of {refused}: {cure}")
        return None
    postgres_type = known.name if known else f"oid {relation.columns[place].type_oid}"
    field = Field(avro_name(config.rename or name), avro.schema, postgres_type, name not in key)
    return PlanColumn(name, field, avro.operation, avro.refuses)


def missing_columns(relation: Relation, table: Table) -> list[tuple[str, ...]]:
    """Return the configured columns that a layout must have and lacks, each with its names."""
    there = {column.name for column in relation.columns}
    return [
        names
        for names in _configured(table)
        if there.isdisjoint(names) and set(table.optional).isdisjoint(names)
    ]


def _configured(table: Table) -> list[tuple[str, ...]]:
    known = {name for names in table.listed for name in names}
    return [*table.listed, *((name,) for name in table.column if name not in known)]


def _misfits(relation: Relation, table: Table, known: Circumstances) -> list[str]:
    """Return which configured columns the table lacks, and which ones it has twice."""
    there = [column.name for column in relation.columns]
    mistakes = []
    for names in missing_columns(relation, table):
        if known.later.isdisjoint(names):
            missing = f"column {' or '.join(names)} does not exist or is not published"
            mistakes.append(missing + _help(names, table, there, known))
    for names in table.listed:
        found = [name for name in names if name in there]
        if len(found) > 1:
            mistakes.append(
                f"{' and '.join(found)} are listed as one column, but the table has each of them"
            )
    return sorted(mistakes)


def _help(names: tuple[str, ...], table: Table, there: list[str], known: Circumstances) -> str:
    """Return what may be meant by a column that a layout lacks."""
    published = next((_publish(name, known) for name in names if name in known.unsent), "")
    if published:
        return published
    unlisted = [name for name in there if not table.sends(name)]
    free = [name for name in there if name not in table.column] if "*" in table.columns else []
    meant = similar(names[0], unlisted or free)
    guess = f" (did you mean {meant}?)" if meant and known.is_present else ""
    late = f'; if only some rows have it, set optional = ["{names[0]}"]'
    return guess + _renamed(names, unlisted, meant) + late


def _publish(name: str, known: Circumstances) -> str:
    return f": {known.unsent[name]}" if name in known.unsent else ""


def _choose_key(identified: list[str]) -> str:
    return f": set key = [{_list(identified)}], or remove key" if identified else ""


def _renamed(names: tuple[str, ...], unlisted: list[str], meant: str | None) -> str:
    """Return a hint that a missing column may have been renamed to one that is not listed."""
    if not unlisted:
        return ""
    entry = _list([*names, meant or unlisted[0]])
    return (
        f"; not listed: {', '.join(unlisted)} (a column that was renamed is listed by both names,"
        f" as [{entry}])"
    )


def _list(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _collisions(names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    return [f"two columns would become field {name}: rename one" for name in twice]
