"""Mistakes about slot, publication, tables, privileges and outboxes."""

from contextlib import suppress

import psycopg

from tests.acceptance.mistakes.case import Do, Mistake, Sql, Toml, Undo
from tests.acceptance.mistakes.stage import Stage

_ITEMS = 'name = "$s.items"\ncolumns = ["*"]\n'
_ALL = "ALTER PUBLICATION $s SET (publish = 'insert, update, delete, truncate')"
_OUTBOX = """
[[outboxes]]
table = "$s.outbox"
topic = "$s.outbox.{aggregatetype}"
"""
_OUTBOX_TABLE = (
    "CREATE TABLE $s.outbox (id uuid PRIMARY KEY, aggregatetype text NOT NULL,"
    " aggregateid text NOT NULL, type text NOT NULL, payload text, made timestamptz)"
)
_PUBLISHED = "ALTER PUBLICATION $s ADD TABLE $s.outbox"


def _instead(columns: str = '["*"]', more: str = "") -> tuple[tuple[str, str], ...]:
    return ((_ITEMS, f'name = "$s.items"\ncolumns = {columns}\n{more}'),)


def _slot(plugin: str) -> tuple[str, ...]:
    return (f"SELECT pg_create_logical_replication_slot('$s', '{plugin}')",)


def _slot_elsewhere(stage: Stage) -> None:
    """Create the slot in another database."""
    dsn = stage.servers.postgres.dsn("template1")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (stage.name,)
        )


def _read_slot(stage: Stage) -> None:
    """Read the slot as another consumer does, until the session is ended."""
    stage.sql(*_slot("pgoutput"))
    connection = psycopg.connect(
        stage.servers.postgres.dsn(), autocommit=True, replication="database"
    )
    stage.held.append(connection)
    stream = (
        f"START_REPLICATION SLOT {stage.name} LOGICAL 0/0"
        f" (proto_version '1', publication_names '{stage.name}')"
    )
    connection.pgconn.send_query(stream.encode())
    with suppress(psycopg.Error):
        connection.pgconn.get_result()


def _end_reader(stage: Stage) -> None:
    stage.sql(
        "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots"
        " WHERE slot_name = '$s'",
        "SELECT pg_drop_replication_slot('$s')",
    )


_HARM = frozenset({"CDC-214"})
_FULL = "ALTER TABLE $s.items REPLICA IDENTITY FULL"

MISTAKES = (
    Mistake("no slot, and it may not be created", "CDC-204",
            (Toml("create_slot = false", "create_slot = true",
                  "set create_slot = true in [postgres]"),),
            toml=(("create_slot = true", "create_slot = false"),)),
    Mistake("a slot without a position", "CDC-501",
            (Do("for a first start, run `cdc-sidecar run --bootstrap` once",
                lambda stage: stage.sql("SELECT pg_drop_replication_slot('$s')")),),
            sql=_slot("pgoutput")),
    Mistake("a slot of another plugin", "CDC-206", (Sql("SELECT pg_drop_replication_slot('$s')"),),
            sql=_slot("test_decoding")),
    Mistake("a slot of another database", "CDC-206",
            (Sql("SELECT pg_drop_replication_slot('$s')"),), act=_slot_elsewhere),
    Mistake("a physical slot", "CDC-206", (Sql("SELECT pg_drop_replication_slot('$s')"),),
            sql=("SELECT pg_create_physical_replication_slot('$s')",)),
    Mistake("another consumer reads the slot", "CDC-203",
            (Do("SELECT pg_terminate_backend(", _end_reader),), act=_read_slot),
    Mistake("no publication", "CDC-207",
            (Do("run what `cdc-sidecar setup-sql --diff` prints", lambda stage: stage.sql(
                "CREATE PUBLICATION $s FOR TABLE $s.items")),), sql=("DROP PUBLICATION $s",)),
    Mistake("a table that is not published", "CDC-208",
            (Sql("ALTER PUBLICATION $s ADD TABLE $s.items"),),
            sql=("ALTER PUBLICATION $s DROP TABLE $s.items",)),
    Mistake("a misspelt table", "CDC-208", (Toml("$s.itmes", "$s.items", "did you mean $s.items"),),
            toml=(('name = "$s.items"', 'name = "$s.itmes"'),)),
    Mistake("a glob that matches nothing", "CDC-208",
            (Toml("$s.item_*", "$s.items", "published is $s.items: correct the glob"),),
            toml=(('name = "$s.items"', 'name = "$s.item_*"'),)),
    Mistake("a view", "CDC-208", (Undo("take $s.seen out of the configuration"),),
            sql=("CREATE VIEW $s.seen AS SELECT 1 AS id",),
            more='[[tables]]\nname = "$s.seen"\ncolumns = ["*"]\n'),
    Mistake("an unlogged table", "CDC-208",
            (Sql("ALTER TABLE $s.quick SET LOGGED"),
             Sql("ALTER PUBLICATION $s ADD TABLE $s.quick")),
            sql=("CREATE UNLOGGED TABLE $s.quick (id int PRIMARY KEY)",),
            more='[[tables]]\nname = "$s.quick"\ncolumns = ["*"]\n'),
    Mistake("a publication without UPDATE and DELETE", "CDC-208", (Sql(_ALL),),
            sql=("ALTER PUBLICATION $s SET (publish = 'insert')",)),
    Mistake("a row filter that breaks the service", "CDC-214", (Sql(_FULL),),
            sql=("ALTER PUBLICATION $s SET TABLE $s.items WHERE (n > 0)",)),
    Mistake("a column list without the key", "CDC-110",
            (Sql("ALTER PUBLICATION $s DROP TABLE $s.items; "
                 "ALTER PUBLICATION $s ADD TABLE $s.items (id, n, label)"),), also=_HARM,
            sql=("ALTER PUBLICATION $s SET TABLE $s.items (n, label)",)),
    Mistake("REPLICA IDENTITY NOTHING", "CDC-110",
            (Sql("ALTER TABLE $s.items REPLICA IDENTITY DEFAULT"),), also=_HARM,
            sql=("ALTER TABLE $s.items REPLICA IDENTITY NOTHING",)),
    Mistake("a table without a key", "CDC-110",
            (Sql("ALTER TABLE $s.items REPLICA IDENTITY FULL"),
             Toml('columns = ["*"]\n', 'columns = ["*"]\nkey = ["id"]\n', "set key = [...]"),
             Toml('columns = ["*"]\n', 'columns = ["*"]\nsnapshot = "duplicates"\n',
                  'set snapshot = "duplicates"')),
            also=_HARM, sql=("ALTER TABLE $s.items DROP CONSTRAINT items_pkey",)),
    Mistake("rows without a key that exist already", "CDC-110",
            (Toml("unkeyed = true\n", 'unkeyed = true\nsnapshot = "duplicates"\n',
                  'set snapshot = "duplicates"'),),
            sql=("ALTER TABLE $s.items DROP CONSTRAINT items_pkey",
                 "ALTER TABLE $s.items REPLICA IDENTITY FULL"),
            toml=_instead(more="unkeyed = true\n")),
    Mistake("a misspelt column", "CDC-110", (Toml('"labl"', '"label"', "did you mean label"),),
            toml=_instead('["id", "labl"]')),
    Mistake("a column that the publication leaves out", "CDC-110",
            (Sql("ALTER PUBLICATION $s DROP TABLE $s.items; "
                 "ALTER PUBLICATION $s ADD TABLE $s.items (id, n, label)"),),
            sql=("ALTER PUBLICATION $s SET TABLE $s.items (id, n)",),
            toml=_instead('["id", "n", "label"]')),
    Mistake("a type that has no Avro form", "CDC-110",
            (Toml('columns = ["*"]\n', 'columns = ["*"]\n[tables.column.place]\nas = "text"\n',
                  '[tables.column.place] as = "text"'),),
            sql=("CREATE TYPE $s.pair AS (x int)", "ALTER TABLE $s.items ADD place $s.pair")),
    Mistake("two columns with one name", "CDC-110",
            (Undo("two columns would become field label: rename one"),),
            toml=_instead(more='[tables.column.n]\nrename = "label"\n')),
    Mistake("a key column that does not exist", "CDC-110",
            (Toml('["idd"]', '["id"]', 'set key = ["id"]'),),
            toml=_instead(more='key = ["idd"]\n')),
    Mistake("no privilege on the table", "CDC-209", (Sql("GRANT SELECT ON $s.items TO $s"),),
            limited=True, sql=("REVOKE SELECT ON $s.items FROM $s",)),
    Mistake("no privilege on the schema", "CDC-209", (Sql("GRANT USAGE ON SCHEMA $s TO $s"),),
            limited=True, sql=("REVOKE USAGE ON SCHEMA $s FROM $s",)),
    Mistake("an outbox that is not published", "CDC-208",
            (Sql("ALTER PUBLICATION $s ADD TABLE $s.outbox"),), sql=(_OUTBOX_TABLE,),
            more=_OUTBOX),
    Mistake("an outbox without a payload", "CDC-110",
            (Toml("topic = ", 'columns = { payload = ["payload", "body"] }\ntopic = ',
                  '[outboxes.columns] payload = ["payload", "body"]'),),
            sql=(_OUTBOX_TABLE, "ALTER TABLE $s.outbox RENAME payload TO body", _PUBLISHED),
            more=_OUTBOX),
    Mistake("an outbox whose topic names no column", "CDC-110",
            (Toml("{kind}", "{aggregatetype}", "in the braces of topic"),),
            sql=(_OUTBOX_TABLE, _PUBLISHED), more=_OUTBOX.replace("aggregatetype", "kind")),
    Mistake("an outbox that may not be pruned", "CDC-209",
            (Sql("GRANT SELECT, DELETE ON $s.outbox TO $s"),), limited=True,
            sql=(_OUTBOX_TABLE, _PUBLISHED, "GRANT SELECT ON $s.outbox TO $s"),
            more=_OUTBOX + 'prune = "1h"\ncolumns = { timestamp = "made" }\n'),
    Mistake("an outbox that is pruned by a text", "CDC-513",
            (Toml('"note"', '"made"', "name a column of type timestamptz"),),
            sql=(_OUTBOX_TABLE, "ALTER TABLE $s.outbox ADD note text", _PUBLISHED),
            more=_OUTBOX + 'prune = "1h"\ncolumns = { timestamp = "note" }\n'),
)  # fmt: skip
