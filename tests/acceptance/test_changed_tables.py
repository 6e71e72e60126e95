"""A captured table is migrated while rows of both layouts wait to be read."""

from collections.abc import Callable
from typing import Any

from tests.acceptance.conftest import TABLES, Service
from tests.acceptance.events import read_registry, read_topics

_MARKS = '[messages]\nprefixes = ["mark"]\n'
_LISTED = '\n[[tables]]\nname = "public.tasks"\ncolumns = {}\n' + _MARKS


def _records(service: Service, table: str) -> list[tuple[Any, Any]]:
    """Return key and row of every event of a table by its ordinal."""
    reader = read_registry(service.kafka, service.name)
    found = [
        (value["source"]["commit_lsn"], reader.read(key), value["after"])
        for records in read_topics(service.kafka, service.topics(table)).values()
        for key, framed, _ in records
        if key and framed and (value := reader.read(framed))
    ]
    return [(key, row) for _, key, row in sorted(found, key=lambda event: event[0])]


def test_a_renamed_column_halts_and_listed_by_both_names_it_loses_nothing(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(_LISTED.format('["id", "status"]'))
    service.sql(
        "CREATE TABLE tasks (id int PRIMARY KEY, status text, secret text)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    service.sidecar.start_and_stream()
    service.sidecar.kill()
    service.sql(
        "INSERT INTO tasks VALUES (1, 'new', 'x')",
        "ALTER TABLE tasks RENAME COLUMN status TO state",
        "INSERT INTO tasks VALUES (2, 'done', 'x')",
    )
    for listed, code in (("status", 2), ("state", 3)):
        service.reconfigure('["id", "status"]', f'["id", "{listed}"]')
        service.sidecar.start()
        assert service.sidecar.await_exit() == code
        fact = service.sidecar.events("sidecar_halted")[-1]["fact"]
        assert f"column {listed} does not exist" in fact
        assert '["status", "state"]' in fact or '["state", "status"]' in fact
    service.reconfigure('["id", "state"]', '["id", ["state", "status"]]')
    service.sidecar.start_and_stream()
    service.await_published()
    assert _records(service, "tasks") == [
        ({"id": 1}, {"id": 1, "status": "new"}),
        ({"id": 2}, {"id": 2, "state": "done"}),
    ]


def test_a_primary_key_made_anew_in_another_order_is_refused_until_the_key_is_said(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES + _MARKS)
    service.sql(
        "CREATE TABLE pairs (a int, b int, PRIMARY KEY (a, b))",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO pairs VALUES (1, 2)")
    service.await_published()
    service.sql(
        "ALTER TABLE pairs DROP CONSTRAINT pairs_pkey, ADD PRIMARY KEY (b, a)",
        "INSERT INTO pairs VALUES (3, 4)",
    )
    service.await_published()
    assert service.sidecar.terminate() == 0
    service.sidecar.start()
    assert service.sidecar.await_exit() == 3
    halt = service.sidecar.events("sidecar_halted")[-1]
    assert halt["code"] == "CDC-303"
    assert halt["fact"] == "the key was (a, b) and is (b, a)"
    service.reconfigure(TABLES, f'{TABLES}key = ["b", "a"]\n')
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO pairs VALUES (5, 6)")
    service.await_published()
    keys = [list(key) for key, _ in _records(service, "pairs")]
    assert keys == [["a", "b"], ["a", "b"], ["b", "a"]]
