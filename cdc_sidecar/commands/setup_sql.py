"""`cdc-sidecar setup-sql`: prints the SQL that the owner of the database runs once."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import typer

from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config, Postgres
from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.errors import DatabaseNeeded
from cdc_sidecar.logs import configure_quietly
from cdc_sidecar.operations.outbox_sql import Shape, outbox_sql
from cdc_sidecar.operations.setup import Contents, Difference, PublicationSql, read_difference
from cdc_sidecar.postgres.connect import Database, dsn_words
from cdc_sidecar.postgres.sql_names import always_quoted, quote_literal

_ROLE = "cdc_sidecar"
"""The role if postgres.dsn names none."""
_NO_WORD = re.compile(r"\W")
_SQL = """\
-- For the owner of database {database}, to be run in this order. The sidecar runs none of it.

-- 1. A role that may log in and replicate, and nothing more. Set its password: \\password {role}
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {role_literal}) THEN
        CREATE ROLE {role} LOGIN REPLICATION;
    END IF;
END $$;

-- 2. Its privileges. SELECT is for snapshots.
GRANT CONNECT ON DATABASE {database} TO {role};
{grants}

-- 3. The publication, before the slot: rows that are older than the publication are never sent.
--    A partitioned table is published as one table. The publication is not created if the service
--    could not change the rows of a table afterwards.
{create}

-- 4. The slot. {slot}
"""

_GUARD = """\
DO $$ DECLARE tables text; cures text; BEGIN
    WITH members AS (
        SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relreplident AS identity,
               EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary
                       AND i.indimmediate AND i.indisvalid) AS has_key,
               EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident
                       AND i.indisvalid) AS has_index,
               current_setting('server_version_num')::int >= 180000 AND EXISTS (
                   SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> ''
               ) AS is_generated
        FROM pg_publication_tables p
        JOIN pg_namespace s ON s.nspname = p.schemaname
        JOIN pg_class o ON o.relnamespace = s.oid AND o.relname = p.tablename
        JOIN pg_class c ON c.relkind = 'r' AND (c.oid = o.oid
             OR o.relkind = 'p' AND c.oid IN (SELECT relid FROM pg_partition_tree(o.oid)))
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE p.pubname = {literal})
    SELECT string_agg(name, ', '), string_agg(CASE
               WHEN has_key THEN format('ALTER TABLE %s REPLICA IDENTITY DEFAULT', name)
               WHEN is_generated THEN format('give %s a primary key', name)
               ELSE format('ALTER TABLE %s REPLICA IDENTITY FULL', name) END, '; ')
    INTO tables, cures FROM members
    WHERE NOT CASE identity WHEN 'd' THEN has_key WHEN 'i' THEN has_index
                            WHEN 'f' THEN NOT is_generated ELSE false END;
    IF tables IS NOT NULL THEN
        RAISE EXCEPTION 'the service could not UPDATE or DELETE rows of %', tables
            USING HINT = cures;
    END IF;
END $$;"""
"""Refuses a publication of whole tables after which Postgres refuses changes of their rows."""


def setup_sql(path: Path) -> int:
    """Print the SQL for a configuration, without connecting to anything.

    Raises:
        DatabaseNeeded: only the database knows the tables of a glob.

    """
    print(render_sql(load_config(path)), end="")  # noqa: T201 - the command's output
    return 0


def setup_diff(path: Path, dsn: str | None) -> int:
    """Print what is missing in the database; `dsn` connects another role than the sidecar's.

    Raises:
        SidecarError: Postgres is not available, or refuses the connection.

    """
    config = load_config(path)
    configure_quietly()
    role = dsn_words(config.postgres).get("user") or (dsn and _ROLE)
    database = Database(config.postgres if dsn is None else _other(config, dsn))
    try:
        sql = PublicationSql(partial(_create, config), _guard(config))
        found = read_difference(config, database, role, sql)
    finally:
        database.close()
    typer.echo(render_difference(found))
    return 0


def setup_outbox(path: Path, shape: Shape) -> int:
    """Print the SQL of the configured outboxes of a shape, or of `outbox` if there is none."""
    config = load_config(path)
    is_message = shape == "message"
    default = Outbox(prefix="outbox") if is_message else Outbox(table="public.outbox")
    outboxes = [each for each in config.outboxes if not each.dropped]
    for outbox in [each for each in outboxes if (each.table is None) == is_message] or [default]:
        columns = {**outbox.wanted, **outbox.columns.by_role}
        sql = outbox_sql(
            shape,
            table=outbox.table or f"public.{_NO_WORD.sub('_', outbox.name)}",
            role=_role(config),
            columns={role: names[-1] for role, names in columns.items()},
            prefix=outbox.name,
            prunes=outbox.prune is not None,
        )
        typer.echo(sql)
    return 0


def _other(config: Config, dsn: str) -> Postgres:
    words: dict[str, Any] = {"slot": config.postgres.slot, "dsn": dsn}
    return Postgres.model_validate({**words, "publication": config.postgres.publication})


def render_difference(found: Difference) -> str:
    """Return what is missing as SQL, with remarks as comments."""
    lines = [f"-- {' '.join(remark.split())}" for remark in found.remarks]
    if not found.statements:
        return "\n".join([*lines, f"-- No statement is missing in database {found.database}."])
    head = [
        f"-- What is missing in database {found.database}. The owner runs it while the sidecar is",
        "-- stopped: one with an earlier configuration would drop the rows of a new table.",
    ]
    return "\n".join([*head, *lines, *found.statements])


def _create(config: Config, contents: Contents) -> str:
    """Return the statement that creates the publication."""
    name = config.postgres.publication
    return (
        f"BEGIN;\nCREATE PUBLICATION {always_quoted(name)}{_published(contents)}\n"
        "    WITH (publish_via_partition_root = true);\n"
        f"{_guard(config)}\nCOMMIT;"
    )


def _guard(config: Config) -> str:
    return _GUARD.format(literal=quote_literal(config.postgres.publication))


def _role(config: Config) -> str:
    return dsn_words(config.postgres).get("user") or _ROLE


def _names(config: Config) -> list[str]:
    """Return the tables, globs and outboxes that exist."""
    tables = [table.name for table in config.tables if not table.dropped]
    return tables + config.outbox_tables


def render_sql(config: Config) -> str:
    """Return the SQL for a configuration."""
    names = _names(config)
    _check_schemas(names)
    role = _role(config)
    return _SQL.format(
        database=always_quoted(dsn_words(config.postgres).get("dbname") or role),
        role=always_quoted(role),
        role_literal=quote_literal(role),
        grants="\n".join(_grants(names, role)),
        create=_create(config, _contents(names)),
        slot=_slot(config),
    )


def _check_schemas(names: list[str]) -> None:
    globs = [name for name in names if _is_glob(name.split(".", 1)[0])]
    if globs:
        raise DatabaseNeeded(
            f"{', '.join(globs)} has a glob as its schema",
            cause="SQL has no globs, so the database must be asked which tables match",
            hint="run `cdc-sidecar setup-sql --diff`; if the sidecar's role does not exist yet,"
            " connect as the owner of the database with --dsn",
        )


def _grants(names: list[str], role: str) -> list[str]:
    schemas = sorted({name.split(".", 1)[0] for name in names})
    grants = [
        f"GRANT USAGE ON SCHEMA {always_quoted(schema)} TO {always_quoted(role)};"
        for schema in schemas
    ]
    for name in names:
        schema, table = name.split(".", 1)
        target = (
            f"ALL TABLES IN SCHEMA {always_quoted(schema)}"
            if _is_glob(table)
            else f"{always_quoted(schema)}.{always_quoted(table)}"
        )
        grants.append(f"GRANT SELECT ON {target} TO {always_quoted(role)};")
    return list(dict.fromkeys(grants))


def _contents(names: list[str]) -> Contents:
    """Return what the publication sends; a glob becomes its schema (PostgreSQL 15 or newer)."""
    tables = tuple(name for name in names if not _is_glob(name))
    globs = (name for name in names if _is_glob(name))
    return Contents(tables, frozenset(name.split(".", 1)[0] for name in globs))


def _published(contents: Contents) -> str:
    parts = []
    split = [name.split(".", 1) for name in contents.single_tables]
    if split:
        listed = (f"{always_quoted(schema)}.{always_quoted(table)}" for schema, table in split)
        parts.append("TABLE " + ", ".join(listed))
    if contents.schemas:
        schemas = map(always_quoted, sorted(contents.schemas))
        parts.append("TABLES IN SCHEMA " + ", ".join(schemas))
    if not parts:
        return " /* logical messages need a publication, and no table in it */"
    return " FOR " + ", ".join(parts)


def _slot(config: Config) -> str:
    if config.postgres.create_slot:
        return f"create_slot = true: the sidecar creates {config.postgres.slot} at its first start."
    name = quote_literal(config.postgres.slot)
    return (
        "Then start the sidecar once with `cdc-sidecar run --bootstrap`.\n"
        "-- From here on the server keeps WAL until the sidecar has read it.\n"
        f"SELECT pg_create_logical_replication_slot({name}, 'pgoutput') FROM pg_publication\n"
        f"WHERE pubname = {quote_literal(config.postgres.publication)};"
    )


def _is_glob(name: str) -> bool:
    return any(character in name for character in "*?[")
