"""The printed SQL of an outbox is installed with psql, and any language emits events with it."""

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from cdc_sidecar.operations.outbox_sql import Shape, outbox_sql
from cdc_sidecar.servers.postgres import PostgresServer
from tests.client.wal import make_slot, messages, operations, read_changes

_NAMES = {
    "id": 'the "id"',
    "aggregatetype": "aggregatetype",
    "aggregateid": "key",
    "type": "it's the type",
    "payload": "payload",
    "traceparent": "trace",
}
_CALL = "SELECT {}(%s, %s, %s, %s)"
_EVENT = ("order", "42", "OrderPlaced", '{"total": "12.50", "note": null}')
_CONTENT = {
    "aggregatetype": "order",
    "aggregateid": "42",
    "type": "OrderPlaced",
    "payload": {"total": "12.50", "note": None},
}
_ROLE = 'cdc "reader'
shapes = pytest.mark.parametrize("shape", ["table", "transient", "message"])


def install(postgres: PostgresServer, dsn: str, script: str) -> None:
    """Run a script with psql, twice: what is there already is no error."""
    for _ in range(2):
        done = subprocess.run(
            [postgres.bin("psql"), dsn, "--no-psqlrc", "--set", "ON_ERROR_STOP=1"],
            input=script,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture
def prepared(database: str) -> str:
    """Return a database with a role for the sidecar, a schema and a slot."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute('DROP ROLE IF EXISTS "cdc ""reader"')
        connection.execute('CREATE ROLE "cdc ""reader"')
        connection.execute('CREATE SCHEMA "the Shop"')
    make_slot(database)
    return database


def _emit(dsn: str, function: str, *event: object) -> UUID:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TEMP TABLE outbox (id int)")  # is not found by the function
        row = connection.execute(_CALL.format(function).encode(), event).fetchone()
    assert row
    found: UUID = row[0]
    return found


@shapes
def test_a_service_in_sql_emits_an_event(
    postgres: PostgresServer, prepared: str, shape: Shape
) -> None:
    install(postgres, prepared, outbox_sql(shape, table="public.outbox", role=_ROLE))
    event_id = _emit(prepared, "outbox_emit", *_EVENT)
    lines = read_changes(prepared)
    if shape == "message":
        assert messages(lines) == [("outbox", {"id": str(event_id), **_CONTENT})]
        assert operations(lines) == []
        return
    assert operations(lines) == (["INSERT"] if shape == "table" else ["INSERT", "DELETE"])
    assert str(event_id) in lines[0]
    assert "aggregateid[text]:'42'" in lines[0]
    assert '"total": "12.50"' in lines[0]


@shapes
def test_names_are_quoted_and_traces_and_ids_are_taken(
    postgres: PostgresServer, prepared: str, shape: Shape
) -> None:
    table = 'the Shop.Out"box'
    script = outbox_sql(shape, table=table, role=_ROLE, columns=_NAMES, prefix="it's")
    install(postgres, prepared, script)
    chosen = UUID(int=7)
    with psycopg.connect(prepared) as connection:
        connection.execute(
            'SELECT "the Shop"."Out""box_emit"(%s, %s, %s, NULL, id => %s, traceparent => %s)',
            (*_EVENT[:3], chosen, "00-1-2-01"),
        )
    lines = read_changes(prepared)
    if shape == "message":
        ((prefix, content),) = messages(lines)
        expected = {"aggregatetype": "order", "key": "42", "it's the type": "OrderPlaced"}
        expected |= {'the "id"': str(chosen), "trace": "00-1-2-01"}
        assert (prefix, content) == ("it's", expected | {"payload": None})
        return
    assert f"[uuid]:'{chosen}'" in lines[0]
    assert "trace[text]:'00-1-2-01'" in lines[0]
    assert "payload[jsonb]:null" in lines[0]


@shapes
def test_an_event_without_a_key_is_refused_in_the_service(
    postgres: PostgresServer, prepared: str, shape: Shape
) -> None:
    install(postgres, prepared, outbox_sql(shape, table="public.outbox", role=_ROLE))
    for place in range(3):
        event = [None if number == place else value for number, value in enumerate(_EVENT)]
        with pytest.raises((psycopg.errors.NotNullViolation, psycopg.errors.NullValueNotAllowed)):
            _emit(prepared, "outbox_emit", *event)
    assert read_changes(prepared) == []


@pytest.mark.parametrize("prunes", [False, True])
def test_the_sidecar_may_read_the_outbox_and_delete_only_if_it_prunes(
    postgres: PostgresServer, prepared: str, *, prunes: bool
) -> None:
    script = outbox_sql("table", table="public.outbox", role=_ROLE, prunes=prunes)
    install(postgres, prepared, script)
    with psycopg.connect(prepared) as connection:
        allowed = [
            connection.execute(
                "SELECT has_table_privilege(%s, 'public.outbox', %s)", (_ROLE, privilege)
            ).fetchone()
            for privilege in ("SELECT", "DELETE", "INSERT", "UPDATE")
        ]
    assert allowed == [(True,), (prunes,), (False,), (False,)]


def test_a_role_without_privileges_on_the_table_emits_only_messages(
    postgres: PostgresServer, prepared: str
) -> None:
    install(postgres, prepared, outbox_sql("message", table="public.m", role=_ROLE))
    install(postgres, prepared, outbox_sql("table", table="public.t", role=_ROLE))
    with psycopg.connect(prepared, autocommit=True) as connection:
        connection.execute('SET ROLE "cdc ""reader"')
        connection.execute(_CALL.format("public.m_emit").encode(), _EVENT)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(_CALL.format("public.t_emit").encode(), _EVENT)


_CONFIG = """
[service]
name = "orders"
[postgres]
dsn = "host=db user=reader"
slot = "orders"
publication = "orders"
[kafka]
bootstrap_servers = "kafka:9092"
[messages]
prefixes = ["x"]
"""
_OUTBOXES = """
[[outboxes]]
table = "shop.events"
columns = { payload = ["body", "content"], partition = "part" }
headers = { tenant = "the tenant" }
prune = "1h"
[[outboxes]]
prefix = "shop.orders"
[[outboxes]]
table = "shop.former"
dropped = true
"""


def _printed(folder: Path, text: str, *words: str) -> str:
    (folder / "cdc-sidecar.toml").write_text(text)
    run = subprocess.run(
        [Path(sys.executable).with_name("cdc-sidecar"), "setup-sql", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return run.stdout or run.stderr


def test_setup_sql_prints_the_outbox_of_the_configuration(tmp_path: Path) -> None:
    columns = {role: role for role in ("id", "aggregatetype", "aggregateid", "type", "payload")}
    columns |= {"payload": "content", "traceparent": "traceparent", "tracestate": "tracestate"}
    expected = outbox_sql(
        "transient", table="shop.events", role="reader", columns=columns, prunes=True
    )
    printed = _printed(tmp_path, _CONFIG + _OUTBOXES, "--outbox", "transient")
    remark, _, script = printed.partition("\n")
    assert script == f"{expected}\n"
    assert remark.endswith('of the function too: "part", "the tenant".')
    expected = outbox_sql(
        "message", table="public.shop_orders", role="reader", prefix="shop.orders"
    )
    assert _printed(tmp_path, _CONFIG + _OUTBOXES, "--outbox", "message") == f"{expected}\n"


def test_setup_sql_prints_an_outbox_where_none_is_configured(tmp_path: Path) -> None:
    expected = outbox_sql("message", table="public.outbox", role="reader")
    assert _printed(tmp_path, _CONFIG, "--outbox", "message") == f"{expected}\n"
    assert "leave out --diff" in _printed(tmp_path, _CONFIG, "--outbox", "message", "--diff")
