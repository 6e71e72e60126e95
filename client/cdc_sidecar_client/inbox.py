"""A table of the events that were seen, for consumers of any framework.

A handler asks in its own transaction whether it sees an event for the first time. The table has a
partition for each day, so that old events are dropped with their partition. An event that comes
again after that is taken for a new one: `keep` is the longest time after which a repeat is noticed.

All methods take what the framework has: a connection or a cursor of psycopg or Django, a session or
a connection of SQLAlchemy; `first_async` and `prune_async` take psycopg's, asyncpg's and
SQLAlchemy's asynchronous ones. The transaction is the caller's, who commits it.
"""

import re
from datetime import timedelta
from typing import Any, Final

_NAME: Final = re.compile(r"(?:[a-z_][a-z0-9_]*\.)?[a-z_][a-z0-9_]*")
_LONGEST: Final = 63 - len("_20260101")  # an identifier of Postgres, and a day
_KEEP: Final = re.compile(r"([1-9][0-9]*)d")
_SCHEMA: Final = """\
CREATE TABLE {table} (
    event_id text NOT NULL,
    seen_on  date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
    PRIMARY KEY (event_id, seen_on)
) PARTITION BY RANGE (seen_on);

-- Takes the events of days that have no partition.
CREATE TABLE {table}_default PARTITION OF {table} DEFAULT;
"""
# Two transactions with one event may fall into two days. The lock lets the second one wait, and its
# next statement then sees the row of the first one.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended({event} || '{table}', 0))"
_FIRST: Final = """\
INSERT INTO {table} (event_id)
SELECT {event} WHERE NOT EXISTS (SELECT FROM {table} WHERE event_id = {event})
ON CONFLICT DO NOTHING RETURNING event_id"""
_PRUNE: Final = """\
DO $prune$
DECLARE
    today CONSTANT date := (now() AT TIME ZONE 'UTC')::date;
    oldest CONSTANT date := today - {keep};
    coming date;
    old regclass;
BEGIN
    PERFORM set_config('lock_timeout', '5s', true);
    FOR coming IN SELECT today + day FROM generate_series(0, {ahead}) AS day LOOP
        IF to_regclass('{table}_' || to_char(coming, 'YYYYMMDD')) IS NULL
            AND NOT EXISTS (SELECT FROM {table}_default WHERE seen_on = coming) THEN
            EXECUTE format('CREATE TABLE {table}_%s PARTITION OF {table}'
                ' FOR VALUES FROM (%L) TO (%L)',
                to_char(coming, 'YYYYMMDD'), coming, coming + 1);
        END IF;
    END LOOP;
    FOR old IN SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = '{table}'::regclass AND relname ~ '_[0-9]{{8}}$'
        AND to_date(right(relname, 8), 'YYYYMMDD') < oldest LOOP
        EXECUTE format('DROP TABLE %s', old);
    END LOOP;
    DELETE FROM {table}_default WHERE seen_on < oldest;
END
$prune$"""
_AHEAD: Final = 7  # days whose partitions exist: so often `prune` may be missed in a row


class Inbox:
    """The events that a consumer has seen, in one table."""

    def __init__(self, table: str = "inbox") -> None:
        """Name the table, with its schema if that is not in the search path.

        Raises:
            ValueError: it is not a plain name in lower case, or it is too long.

        """
        if not _NAME.fullmatch(table) or len(table.rpartition(".")[2]) > _LONGEST:
            raise ValueError(f"table {table!r} is not a name like inbox or billing.inbox")
        self._table = table

    def schema_sql(self) -> str:
        """Return the SQL that creates the table, for a migration."""
        return _SCHEMA.format(table=self._table)

    def first(self, tx: Any, event_id: object) -> bool:  # noqa: ANN401 - of any framework
        """Return whether the event is seen for the first time, and note that it is.

        Another transaction with the same event waits until this one ends. If this one is rolled
        back, the event counts as not seen.
        """
        style = _style(tx)
        lock, first = (self._statement(sql, style) for sql in (_LOCK, _FIRST))
        _run(tx, style, lock, str(event_id))
        return _run(tx, style, first, str(event_id)) is not None

    async def first_async(self, tx: Any, event_id: object) -> bool:  # noqa: ANN401 - as above
        """Do as `first`, for asyncio."""
        style = _style(tx)
        lock, first = (self._statement(sql, style) for sql in (_LOCK, _FIRST))
        await _run_async(tx, style, lock, str(event_id))
        return await _run_async(tx, style, first, str(event_id)) is not None

    def prune(self, tx: Any, keep: str | timedelta = "7d") -> None:  # noqa: ANN401 - as above
        """Create the partitions of the coming days, and drop those older than `keep` whole days.

        Call it once a day, as the owner of the table, in a transaction of its own: it waits for
        transactions that use the table, and they for it. It gives up after 5 seconds, with the
        error of `lock_timeout`; call it again then.

        Raises:
            ValueError: `keep` is not a number of days such as "7d".

        """
        style = _style(tx)
        _execute(tx, style, self.prune_sql(keep))

    async def prune_async(self, tx: Any, keep: str | timedelta = "7d") -> None:  # noqa: ANN401 - as above
        """Do as `prune`, for asyncio."""
        style = _style(tx)
        await _execute_async(tx, style, self.prune_sql(keep))

    def prune_sql(self, keep: str | timedelta = "7d") -> str:
        """Return the statement that `prune` runs, for a scheduler such as pg_cron."""
        return _PRUNE.format(table=self._table, keep=_days(keep), ahead=_AHEAD)

    def _statement(self, sql: str, style: str) -> str:
        return sql.format(table=self._table, event=_PLACEHOLDERS[style])


_PLACEHOLDERS: Final = {
    "format": "%(event)s::text",
    "sqlalchemy": "CAST(:event AS text)",
    "asyncpg": "$1::text",
}


def _days(keep: str | timedelta) -> int:
    if isinstance(keep, timedelta) and keep.days > 0:
        return keep.days
    found = _KEEP.fullmatch(keep) if isinstance(keep, str) else None
    if found is None:
        raise ValueError(f'keep = {keep!r} is not a number of days such as "7d"')
    return int(found[1])


def _style(tx: Any) -> str:  # noqa: ANN401 - as above
    """Return how a library writes parameters.

    Raises:
        TypeError: it is none of those that are known.

    """
    for module in (kind.__module__.partition(".")[0] for kind in type(tx).__mro__):
        if module in ("psycopg", "django"):
            return "format"
        if module in ("sqlalchemy", "asyncpg"):
            return str(module)
    raise TypeError(f"{type(tx).__name__} is not of psycopg, SQLAlchemy, Django or asyncpg")


def _run(tx: Any, style: str, sql: str, event: str) -> Any:  # noqa: ANN401 - a row
    return _execute(tx, style, sql, event).fetchone()


async def _run_async(tx: Any, style: str, sql: str, event: str) -> Any:  # noqa: ANN401 - a row
    if style == "asyncpg":
        return await tx.fetchrow(sql, event)
    found = (await _execute_async(tx, style, sql, event)).fetchone()
    return await found if style == "format" else found


def _execute(tx: Any, style: str, sql: str, event: str | None = None) -> Any:  # noqa: ANN401 - a cursor
    parameters = None if event is None else {"event": event}
    if style == "sqlalchemy":
        from sqlalchemy import text  # noqa: PLC0415 - only where it is used

        return tx.execute(text(sql), parameters)
    target = tx if hasattr(tx, "execute") else tx.cursor()  # a connection of Django has no execute
    cursor = target.execute(sql, parameters)
    return target if cursor is None else cursor  # nor do all of its cursors return something


async def _execute_async(tx: Any, style: str, sql: str, event: str | None = None) -> Any:  # noqa: ANN401 - a cursor
    if style == "asyncpg":
        return await tx.execute(sql)
    return await _execute(tx, style, sql, event)
