"""The pages for those who run the sidecar are right: checklist, sizes, troubles, upgrade, move."""

import re

import psycopg
from psycopg.conninfo import make_conninfo

from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.howto import DOCS, ROLE, Operator, Page
from tests.waiting import await_true

_COMMAND = re.compile(r'`(psql "\$OWNER" [^`]+)`')
_QUERY = re.compile(r"`(SELECT [^`…]+)`")
_CHECKED = re.compile(r"`check`, line `([^`]+)`")
_PUBLISHED_BY_ANOTHER = """
CREATE PUBLICATION dbz_publication FOR ALL TABLES;
SELECT pg_create_logical_replication_slot('debezium', 'pgoutput');
INSERT INTO orders VALUES (1), (2);
INSERT INTO orders VALUES (3);
"""


def _text(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def test_the_checklist_names_lines_of_the_check_and_its_commands_work(operator: Operator) -> None:
    page, text = Page("production-checklist"), _text("production-checklist")
    operator.sidecar.start_and_stream()
    printed = operator.sh(page.take("sh", "cdc-sidecar check"))
    assert " 0 faults" in printed
    subjects = [line.strip().partition(" ")[2].strip() for line in printed.splitlines()]
    for wanted in _CHECKED.findall(text):
        assert any(subject.startswith(wanted) for subject in subjects), wanted
    for command in _COMMAND.findall(text):
        operator.sh(command)
    page.assert_taken()


def test_the_queries_for_sizes_and_troubles_work(operator: Operator) -> None:
    sizes, troubles = Page("size-it"), Page("troubleshoot")
    operator.sql(sizes.take("sql", "pg_size_pretty"))
    operator.sidecar.start_and_stream()
    printed = operator.sh(troubles.take("sh", "cdc-sidecar status"))
    assert "streams" in printed
    assert " 0 faults" in printed
    operator.sql(troubles.take("sql", "pg_replication_slots"))
    for query in _QUERY.findall(_text("size-it") + _text("troubleshoot")):
        operator.sql(f"{query};")
    operator.environment["PID"] = str(operator.sidecar.process.pid)
    operator.sh(troubles.take("sh", "kill -QUIT"))
    await_true(lambda: operator.sidecar.events("threads_reported"), what="the threads")
    sizes.assert_taken()
    troubles.assert_taken()


def test_a_new_server_becomes_the_source_and_nothing_is_missing(operator: Operator) -> None:
    page = Page("upgrade")
    operator.sidecar.start_and_stream()
    operator.sql("INSERT INTO orders VALUES (1)")
    assert operator.rows("orders", 1) == [("c", 1)]
    assert "continue" in operator.sh(page.take("sh", "position show"))
    operator.stop()
    with PostgresServer(fsync=False) as upgraded:
        _move_to(operator, upgraded)
        operator.assert_halts("CDC-503")
        operator.sql(page.take("sql", "pg_create_logical_replication_slot"))
        operator.sh(page.take("sh", "accept-gap"))
        operator.sidecar.start_and_stream()
        operator.sql("INSERT INTO orders VALUES (2)")
        assert operator.rows("orders", 2) == [("c", 1), ("c", 2)]
        operator.stop()
    page.assert_taken()


def _move_to(operator: Operator, server: PostgresServer) -> None:
    """Let the operator's database be one on another server, with its tables and publication."""
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE orders")
    operator.dsn = server.dsn("orders")
    operator.environment["OWNER"] = operator.dsn
    dsn = make_conninfo(operator.dsn, user=ROLE)
    operator.environment["CDC_SIDECAR__POSTGRES__DSN"] = f'"{dsn}"'
    operator.sql("CREATE TABLE orders (id bigint PRIMARY KEY, status text, total numeric(10, 2))")
    operator.sh("cdc-sidecar setup-sql --config orders.toml > setup.sql")
    operator.sh('sed -i "s/DATABASE \\"[^\\"]*\\"/DATABASE orders/" setup.sql')
    operator.sh('psql "$OWNER" --set ON_ERROR_STOP=1 --file setup.sql')


def test_the_sidecar_continues_from_a_copy_of_the_slot_of_debezium(operator: Operator) -> None:
    """Debezium itself takes part in tests/interop/test_leaving_debezium.py."""
    page = Page("migrate-from-debezium")
    page.take("json", "lsn_proc")
    assert len(page.take_all("bash")) == 3
    operator.config.write_text(page.take("toml", "dbz_publication"), encoding="utf-8")
    operator.sql(_PUBLISHED_BY_ANOTHER)
    operator.sh(page.take("sh", "--diff").replace("cdc-sidecar check", "! cdc-sidecar check"))
    operator.sql(page.take("sql", "plugin, active"))
    operator.sql(page.take("sql", "pg_copy_logical_replication_slot"))
    _skip_first_transaction(operator, page)
    operator.sh(page.take("sh", "--bootstrap"))
    operator.sql("INSERT INTO orders VALUES (4)")
    assert operator.rows("orders", 2) == [("c", 3), ("c", 4)]
    assert "streams" in operator.sh(page.take("sh", "tail").partition("cdc-sidecar tail")[0])
    operator.stop()
    operator.sh(page.take("sh", "teardown"))
    assert operator.ask("SELECT string_agg(slot_name, ',') FROM pg_replication_slots") == "debezium"
    operator.sql(page.take("sql", "pg_drop_replication_slot"))
    page.assert_taken()


def _skip_first_transaction(operator: Operator, page: Page) -> None:
    """Follow step 4 as though Debezium had published the first transaction."""
    first = operator.ask("SELECT min(xmin::text::bigint) FROM orders")
    peek = page.take("sql", "peek").replace("1355", str(first)).strip().rstrip(";")
    letters = f"SELECT string_agg(message, '' ORDER BY lsn) FROM ({peek}) found"
    assert str(operator.ask(letters)).strip("BRC") == "II"
    end = operator.ask(f"SELECT lsn::text FROM ({peek}) found WHERE message = 'C'")
    operator.sql(page.take("sql", "pg_replication_slot_advance").replace("0/1B2E0B0", str(end)))
