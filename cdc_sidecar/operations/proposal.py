"""The proposal behind `init`: which tables of a database to capture, and how."""

from collections.abc import Iterator
from dataclasses import dataclass

from cdc_sidecar.config.model import Column, Postgres
from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.events.mapping import TypeRefused, map_column
from cdc_sidecar.events.names import ambiguity
from cdc_sidecar.events.outbox.columns import outbox_mistakes
from cdc_sidecar.postgres.candidates import Candidate, read_candidates, sidecar_dsn
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.replica_identity import Member
from cdc_sidecar.postgres.sql_names import quoted


@dataclass(frozen=True, slots=True)
class ProposedTable:
    """A table with the configuration that captures it; with obstacles it cannot be captured yet."""

    name: str  # `schema.table`
    columns: tuple[str, ...]
    key: tuple[str, ...]
    as_text: tuple[str, ...] = ()  # columns whose type has no Avro form of its own
    is_outbox: bool = False
    notes: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """A database as a configuration reaches it, and its tables."""

    dsn: str  # of the sidecar's role, without a password
    database: str
    tables: tuple[ProposedTable, ...]


def propose(dsn: str, role: str) -> Proposal:
    """Look at the database of a connection string, and propose what `role` may capture there.

    Raises:
        SidecarError: Postgres is not available, or refuses the connection.

    """
    database = Database(Postgres.model_validate({"dsn": dsn, "slot": "x", "publication": "x"}))
    try:
        with database.connection() as connection:
            tables = tuple(propose_table(found) for found in read_candidates(connection, ""))
            name = connection.info.dbname
            return Proposal(sidecar_dsn(connection, dsn, role), name, tables)
    finally:
        database.close()


def propose_table(candidate: Candidate) -> ProposedTable:
    """Return how a table can be captured, or what must be changed first."""
    relation, facts = candidate.relation, candidate.facts
    columns = tuple(column.name for column in relation.columns)
    is_outbox = not outbox_mistakes(relation, facts, Outbox(table=relation.qualified_name))
    return ProposedTable(
        relation.qualified_name,
        columns,
        facts.key_columns,
        tuple(_without_form(candidate)),
        is_outbox,
        tuple(_notes(candidate)),
        tuple(_obstacles(candidate, is_outbox=is_outbox)),
    )


def _without_form(candidate: Candidate) -> Iterator[str]:
    """Yield the columns that can be sent only as Postgres's text."""
    columns = zip(
        candidate.relation.columns, candidate.facts.types, candidate.dimensions, strict=True
    )
    for column, known, dimensions in columns:
        try:
            map_column(known, Column(), candidate.facts)
        except TypeRefused:
            yield column.name
        else:
            if dimensions > 1:
                yield column.name


def _notes(candidate: Candidate) -> Iterator[str]:
    if candidate.is_partitioned:
        yield "partitioned: published as one table, with publish_via_partition_root"
    if candidate.has_generated:
        yield "generated columns are not sent"


def _obstacles(candidate: Candidate, *, is_outbox: bool) -> Iterator[str]:
    """Yield what must be changed before the table can be captured, with the statement."""
    relation = candidate.relation
    table = sql_name(candidate)
    if "." in relation.namespace:
        yield from ambiguity(relation.namespace, relation.name)
    if any(character in relation.name for character in "*?["):
        yield "its name would be read as a glob: rename the table"
    if not candidate.is_logged:
        yield f"it is unlogged: ALTER TABLE {table} SET LOGGED"
    fault = harm(candidate)
    if fault:
        yield fault
    elif not candidate.facts.key_columns and not is_outbox:
        yield "it has no key: name the columns of its key in key = [...]"


def sql_name(candidate: Candidate) -> str:
    """Return the name of a table as SQL."""
    return f"{quoted(candidate.relation.namespace)}.{quoted(candidate.relation.name)}"


def harm(candidate: Candidate) -> str | None:
    """Return why Postgres would refuse UPDATE and DELETE once it is published, and the cure."""
    harmed = (member for member in candidate.members if member.refusal)
    return "; ".join(f"{member.refusal}: {_cure(member)}" for member in harmed) or None


def _cure(member: Member) -> str:
    """Return how to give a table an identity that is also the key of its events."""
    keyed = any(identity.columns for identity in member.usable)
    return member.cure if keyed else f"ALTER TABLE {member.listed} ADD PRIMARY KEY (…)"
