"""Rows that no longer fit their table: some configuration publishes them, and the halt names it.

Each test writes rows while the sidecar is down, changes what they belong to, and follows the hints.
"""

from collections.abc import Callable
from typing import Any

from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.events import read_registry, read_topics
from tests.acceptance.following import follow
from tests.acceptance.own_postgres import halt_of
from tests.acceptance.test_check import faults_of

_ALL = "CREATE PUBLICATION cdc FOR ALL TABLES"

_OUTBOX = '\n[[outboxes]]\ntable = "public.outbox"\n'
_TABLE = """
CREATE TABLE outbox
    (id int PRIMARY KEY, aggregatetype text, aggregateid text, type text, payload %s)
"""


def _tasks(columns: str) -> str:
    return f'\n[[tables]]\nname = "public.tasks"\ncolumns = {columns}\n'


def _made(make_service: Callable[..., Service], more: str, *sql: str) -> Service:
    """Make a service whose sidecar has run once and is down."""
    service = make_service(MARKS + more)
    service.sql(*sql)
    service.sidecar.start_and_stream()
    assert service.sidecar.terminate() == 0
    return service


def _follow_halt(service: Service) -> dict[str, Any]:
    """Start the sidecar, and follow the hint with which it halts."""
    service.sidecar.start()
    halt = halt_of(service.sidecar)
    follow(service, {"fact": halt["fact"], "cause": "", "hint": halt["hint"]})
    return halt


def _follow_check(service: Service) -> str:
    """Follow the hint of the only fault that `check` finds; return its code."""
    (fault,) = faults_of(service)
    follow(service, fault)
    return str(fault["code"])


def _rows(service: Service, topic: str) -> list[tuple[Any, Any]]:
    """Return key and row of every event of a topic, in the order of the source."""
    service.sidecar.start_and_stream()
    service.await_published()
    reader = read_registry(service.kafka, service.name)
    found = [
        (value["source"]["lsn"], reader.read(key) if key else None, value["after"])
        for records in read_topics(service.kafka, [topic]).values()
        for key, framed, _ in records
        if framed and (value := reader.read(framed))
    ]
    return [(key, row) for _, key, row in sorted(found, key=lambda event: event[0])]


def test_a_globbed_table_with_a_type_of_its_own_that_came_and_went(
    make_service: Callable[..., Service],
) -> None:
    service = _made(make_service, f"{TABLES}tombstones = false\n", _ALL)
    service.sql(
        "CREATE TYPE pair AS (x int, y int)",
        "CREATE TABLE gone (a int, b text, p pair, PRIMARY KEY (a, b))",
        "INSERT INTO gone VALUES (1, 'b', '(2,3)')",
        "DROP TABLE gone",
        "DROP TYPE pair",
    )
    halt = _follow_halt(service)
    assert "column p is of a type that the catalog no longer has" in halt["fact"]
    assert 'name = "public.gone"' in halt["hint"]
    assert "tombstones = false" in halt["hint"]
    assert faults_of(service)[0]["fact"].startswith("public.* matches no table")
    rows = _rows(service, f"{service.name}.public.gone")
    assert rows == [({"a": 1, "b": "b"}, {"a": 1, "b": "b", "p": "(2,3)"})]


def test_a_table_of_a_glob_can_be_excluded(make_service: Callable[..., Service]) -> None:
    service = _made(make_service, TABLES, "CREATE TABLE tasks (id int PRIMARY KEY)", _ALL)
    service.sql(
        "CREATE TYPE pair AS (x int)",
        "CREATE TABLE odd (id int PRIMARY KEY, p pair)",
        "INSERT INTO odd VALUES (1, '(2)')",
        "INSERT INTO tasks VALUES (1)",
    )
    (fault,) = faults_of(service)
    assert 'exclude = ["public.odd"]' in fault["hint"]
    service.reconfigure('columns = ["*"]\n', 'columns = ["*"]\nexclude = ["public.odd"]\n')
    assert faults_of(service) == []
    assert _rows(service, f"{service.name}.public.tasks") == [({"id": 1}, {"id": 1})]


def test_a_listed_column_that_came_with_a_migration_is_left_out_of_older_rows(
    make_service: Callable[..., Service],
) -> None:
    masked = '[tables.column.note]\nmask = "hash"\n'
    service = _made(
        make_service,
        _tasks('["id", "label"]'),
        "CREATE TABLE tasks (id int PRIMARY KEY, other int, label text)",
        _ALL,
    )
    service.sql(
        "INSERT INTO tasks VALUES (1, 1, 'old')",
        "ALTER TABLE tasks ADD COLUMN note text",
        "INSERT INTO tasks VALUES (2, 2, 'new', 'n')",
        "ALTER TABLE tasks DROP COLUMN other",
        "INSERT INTO tasks VALUES (3, 'newer', 'n')",
    )
    service.reconfigure('["id", "label"]\n', f'["id", "label", "note"]\n{masked}')
    assert faults_of(service) == []
    rows = [row for _, row in _rows(service, f"{service.name}.public.tasks")]
    assert [sorted(row) for row in rows] == [["id", "label"], *[["id", "label", "note"]] * 2]
    assert len(rows[1]["note"]) == 64


def test_a_column_that_may_be_a_renamed_one_needs_a_persons_word(
    make_service: Callable[..., Service],
) -> None:
    service = _made(
        make_service,
        _tasks('["id"]'),
        "CREATE TABLE tasks (id int PRIMARY KEY, other int)",
        _ALL,
    )
    service.sql(
        "INSERT INTO tasks VALUES (1, 1)",
        "ALTER TABLE tasks DROP COLUMN other, ADD COLUMN note text",
        "INSERT INTO tasks VALUES (2, 'n')",
    )
    service.reconfigure('["id"]', '["id", "note"]')
    assert '["note", "other"]' in _follow_halt(service)["fact"]
    rows = [row for _, row in _rows(service, f"{service.name}.public.tasks")]
    assert rows == [{"id": 1}, {"id": 2, "note": "n"}]


def test_a_listed_column_that_was_dropped_is_sent_for_the_rows_that_have_it(
    make_service: Callable[..., Service],
) -> None:
    service = _made(
        make_service,
        _tasks('["id", "label"]'),
        "CREATE TABLE tasks (id int PRIMARY KEY, label text)",
        _ALL,
    )
    service.sql(
        "INSERT INTO tasks VALUES (1, 'kept')",
        "ALTER TABLE tasks DROP COLUMN label",
        "INSERT INTO tasks VALUES (2)",
    )
    assert _follow_check(service) == "CDC-110"
    rows = [row for _, row in _rows(service, f"{service.name}.public.tasks")]
    assert rows == [{"id": 1, "label": "kept"}, {"id": 2}]


def test_rows_that_were_inserted_without_an_identity_index_keep_their_key(
    make_service: Callable[..., Service],
) -> None:
    service = _made(
        make_service,
        _tasks('["*"]'),
        "CREATE TABLE tasks (code text NOT NULL, n int)",
        "CREATE UNIQUE INDEX by_code ON tasks (code)",
        "ALTER TABLE tasks REPLICA IDENTITY USING INDEX by_code",
        "CREATE PUBLICATION cdc FOR TABLE tasks",
    )
    service.sql(
        "INSERT INTO tasks VALUES ('a', 1)",
        "DROP INDEX by_code",
        "INSERT INTO tasks VALUES ('b', 2)",
    )
    faults = {fault["code"]: fault for fault in faults_of(service)}
    assert faults.keys() == {"CDC-110", "CDC-214"}
    follow(service, faults["CDC-214"])
    service.sql("INSERT INTO tasks VALUES ('c', 3)")
    service.reconfigure('["*"]\n', '["*"]\nkey = ["code"]\n')
    assert faults_of(service) == []
    keys = [key for key, _ in _rows(service, f"{service.name}.public.tasks")]
    assert keys == [{"code": "a"}, {"code": "b"}, {"code": "c"}]


def test_an_outbox_column_that_was_renamed_has_both_names(
    make_service: Callable[..., Service],
) -> None:
    service = _made(make_service, _OUTBOX, _TABLE % "text", _ALL)
    service.sql(
        f"INSERT INTO outbox VALUES (1, '{service.name}', '1', 'A', 'old')",
        "ALTER TABLE outbox RENAME COLUMN payload TO body",
        f"INSERT INTO outbox VALUES (2, '{service.name}', '1', 'A', 'new')",
    )
    (fault,) = faults_of(service)
    assert '[outboxes.columns] payload = ["payload", "body"]' in fault["fact"]
    config = service.sidecar.config
    both = '[outboxes.columns]\npayload = ["payload", "body"]\n'
    config.write_text(config.read_text() + both)
    assert _payloads(service) == ["old", "new"]


def test_an_outbox_whose_payload_had_a_domain_that_was_dropped(
    make_service: Callable[..., Service],
) -> None:
    service = _made(make_service, _OUTBOX, "CREATE DOMAIN doc AS jsonb", _TABLE % "doc", _ALL)
    service.sql(
        f"INSERT INTO outbox VALUES (1, '{service.name}', '1', 'A', '[1]')",
        "ALTER TABLE outbox ALTER payload TYPE jsonb",
        "DROP DOMAIN doc",
        f"INSERT INTO outbox VALUES (2, '{service.name}', '1', 'A', '[2]')",
    )
    assert _follow_halt(service)["code"] == "CDC-303"
    assert _payloads(service) == ["[1]", "[2]"]


def _payloads(service: Service) -> list[Any]:
    """Return the payloads of the events whose aggregate type is the name of the service."""
    service.sidecar.start_and_stream()
    service.await_published()
    topics = read_topics(service.kafka, [f"outbox.event.{service.name}"])
    reader = read_registry(service.kafka, service.name)
    return [reader.read(value or b"") for records in topics.values() for _, value, _ in records]


def test_the_last_rows_of_a_table_that_was_dropped_are_published(
    make_service: Callable[..., Service],
) -> None:
    service = _made(
        make_service, _tasks('["*"]'), "CREATE TABLE tasks (id int PRIMARY KEY, n int)", _ALL
    )
    service.sql("INSERT INTO tasks VALUES (1, 1)", "DROP TABLE tasks")
    (fault,) = faults_of(service)
    assert "dropped = true" in fault["hint"]
    service.reconfigure('["*"]\n', '["*"]\ndropped = true\n')
    assert faults_of(service) == []
    assert _rows(service, f"{service.name}.public.tasks") == [({"id": 1}, {"id": 1, "n": 1})]


def test_a_value_without_a_form_in_one_table_of_a_glob(
    make_service: Callable[..., Service],
) -> None:
    service = _made(
        make_service,
        TABLES,
        "CREATE TABLE tasks (id int PRIMARY KEY, price numeric(9, 2))",
        "CREATE TABLE others (id int PRIMARY KEY)",
        _ALL,
    )
    service.sql("INSERT INTO tasks VALUES (1, 'NaN')", "INSERT INTO others VALUES (1)")
    assert _follow_halt(service)["code"] == "CDC-301"
    rows = _rows(service, f"{service.name}.public.tasks")
    assert rows == [({"id": 1}, {"id": 1, "price": "NaN"})]
