"""The SQL of an outbox for services in any language: its table, its grants and `outbox_emit`."""

from collections.abc import Mapping
from typing import Final, Literal

from cdc_sidecar.postgres.sql_names import always_quoted, quote_literal

Shape = Literal["table", "transient", "message"]

_TYPES: Final[Mapping[str, str]] = {
    "id": "uuid PRIMARY KEY",
    "aggregatetype": "text NOT NULL",
    "aggregateid": "text NOT NULL",
    "type": "text NOT NULL",
    "payload": "jsonb",
    "traceparent": "text",
    "tracestate": "text",
}
"""What each column is, by its role."""
_VALUES: Final[Mapping[str, str]] = {
    "id": "emitted",
    "aggregatetype": "$1",
    "aggregateid": "$2",
    "type": "$3",
    "payload": "$4",
    "traceparent": "$6",
    "tracestate": "$7",
}
_TABLE: Final = """\
-- The outbox. The sidecar publishes each row that is inserted here, in the order of the commits.
CREATE TABLE IF NOT EXISTS {table} (
{columns}
);
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT {privileges} ON {table} TO {role};
"""
_FUNCTION: Final = """\
-- Emits an event in the transaction of the caller, and returns its id. payload is JSON by the
-- schema of the event type; NULL is a tombstone. The caller needs {needs}.
CREATE OR REPLACE FUNCTION {function}(
    aggregatetype text, aggregateid text, type text, payload jsonb,
    id uuid DEFAULT NULL, traceparent text DEFAULT NULL, tracestate text DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    emitted CONSTANT uuid := coalesce($5, gen_random_uuid());
BEGIN
{body}
    RETURN emitted;
END;
$function$;
"""
_INSERT: Final = """\
    INSERT INTO {table} ({names})
    VALUES ({values});"""
_DELETE: Final = """
    DELETE FROM {table} AS o WHERE o.{id} = emitted;  -- the table stays empty"""
_MESSAGE: Final = """\
    IF $1 IS NULL OR $2 IS NULL OR $3 IS NULL THEN
        RAISE EXCEPTION 'aggregatetype, aggregateid and type of an event are not NULL'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM pg_logical_emit_message(true, {prefix}, (
        jsonb_build_object({members})
        || CASE WHEN $6 IS NULL THEN '{{}}' ELSE jsonb_build_object({traceparent}, $6) END
        || CASE WHEN $7 IS NULL THEN '{{}}' ELSE jsonb_build_object({tracestate}, $7) END
    )::text);"""
_MORE: Final = """\
-- The configuration reads more, which you add yourself, as arguments of the function too: {more}.
"""
_NEEDS: Final[Mapping[Shape, str]] = {
    "table": "INSERT on the table",
    "transient": "INSERT, SELECT and DELETE on the table",
    "message": "no privilege",
}


def outbox_sql(
    shape: Shape,
    *,
    table: str,
    role: str,
    columns: Mapping[str, str] | None = None,
    prefix: str = "outbox",
    prunes: bool = False,
) -> str:
    """Return the SQL that the owner of a database runs for an outbox.

    The function is named after `table` (`schema.table`) and is in its schema: `public.outbox_emit`
    for `public.outbox`. A `message` outbox has no table, only messages with `prefix`. `columns` has
    the name of each role; a role that is missing has no column, except in messages, where it has
    its own name. Columns of other roles, such as `partition`, are named in a remark: the owner says
    what is in them. `prunes` grants the role of the sidecar the privilege to delete rows.
    """
    names = dict(columns) if columns else {role: role for role in _TYPES}
    function = _function(shape, table, names, prefix)
    if shape != "message":
        function = f"{_table(table, names, role, prunes)}\n{function}"
    more = ", ".join(always_quoted(name) for role, name in names.items() if role not in _TYPES)
    return f"{_MORE.format(more=more)}{function}" if more else function


def _table(table: str, names: Mapping[str, str], role: str, prunes: bool) -> str:  # noqa: FBT001 - as `outbox_sql`
    width = max(len(always_quoted(names[role])) for role in _TYPES if role in names)
    columns = [
        f"    {always_quoted(names[role]):{width}} {kind}"
        for role, kind in _TYPES.items()
        if role in names
    ]
    return _TABLE.format(
        table=_qualified(table),
        columns=",\n".join(columns),
        schema=always_quoted(table.partition(".")[0]),
        role=always_quoted(role),
        privileges="SELECT, DELETE" if prunes else "SELECT",
    )


def _function(shape: Shape, table: str, names: Mapping[str, str], prefix: str) -> str:
    if shape == "message":
        body = _message(names, prefix)
    else:
        body = _INSERT.format(
            table=_qualified(table),
            names=", ".join(always_quoted(names[role]) for role in _VALUES if role in names),
            values=", ".join(value for role, value in _VALUES.items() if role in names),
        )
    if shape == "transient":
        body += _DELETE.format(table=_qualified(table), id=always_quoted(names["id"]))
    return _FUNCTION.format(needs=_NEEDS[shape], function=_qualified(f"{table}_emit"), body=body)


def _message(names: Mapping[str, str], prefix: str) -> str:
    literals = {role: quote_literal(names.get(role, role)) for role in _VALUES}
    always = [role for role in _VALUES if not role.startswith("trace")]
    return _MESSAGE.format(
        prefix=quote_literal(prefix),
        members=", ".join(f"{literals[role]}, {_VALUES[role]}" for role in always),
        traceparent=literals["traceparent"],
        tracestate=literals["tracestate"],
    )


def _qualified(name: str) -> str:
    schema, _, inner = name.partition(".")
    return f"{always_quoted(schema)}.{always_quoted(inner)}"
