"""Every kind of change arrives as docs/reference/events.md describes it."""

import json
from collections.abc import Callable
from typing import Any

import psycopg

from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.events import read_registry, read_topics

OUTBOX = '\n[[outboxes]]\ntable = "public.outbox"\n'


def _records(service: Service, topic: str) -> list[tuple[Any, Any]]:
    """Return the decoded key and value of every record of a topic, partition by partition."""
    reader = read_registry(service.kafka, service.name)
    return [
        (
            None if key is None else reader.read(key),
            None if value is None else reader.read(value),
        )
        for records in read_topics(service.kafka, [topic]).values()
        for key, value, _ in records
    ]


def _ops(records: list[tuple[Any, Any]], key: object) -> list[str | None]:
    return [value and value["op"] for found, value in records if found == key]


def _publish(service: Service, *statements: str) -> None:
    service.sidecar.start_and_stream()
    service.sql(*statements)
    service.await_published()


def test_a_changed_key_is_a_delete_a_tombstone_and_a_create(service: Service) -> None:
    _publish(
        service,
        "INSERT INTO items VALUES (1, 10, 'a')",
        "UPDATE items SET n = 11 WHERE id = 1",
        "UPDATE items SET id = 2 WHERE id = 1",
        "DELETE FROM items WHERE id = 2",
    )
    records = _records(service, f"{service.name}.public.items")
    assert _ops(records, {"id": 1}) == ["c", "u", "d", None]
    assert _ops(records, {"id": 2}) == ["c", "d", None]
    created = next(value for key, value in records if key == {"id": 2} and value)
    assert created["after"] == {"id": 2, "n": 11, "label": "a"}
    assert created["transaction"]["total_order"] == 2
    assert created["unchanged"] == []


def test_a_row_that_was_rolled_back_is_never_published(service: Service) -> None:
    _publish(
        service,
        "BEGIN; INSERT INTO items VALUES (1, 1, 'no'); ROLLBACK",
        "BEGIN; INSERT INTO items VALUES (2, 1, 'yes'); SAVEPOINT s;"
        " INSERT INTO items VALUES (3, 1, 'no'); ROLLBACK TO s; COMMIT",
    )
    records = _records(service, f"{service.name}.public.items")
    assert [key for key, _ in records] == [{"id": 2}]


def test_every_field_of_source_and_transaction_tells_the_source_transaction(
    service: Service,
) -> None:
    _publish(service, "INSERT INTO items VALUES (1, 10, 'a'), (2, 20, 'b')")
    records = _records(service, f"{service.name}.public.items")
    values = sorted((value for _, value in records), key=lambda v: v["transaction"]["total_order"])
    assert [value["transaction"]["data_collection_order"] for value in values] == [1, 2]
    source = values[0]["source"]
    assert source["connector"] == "postgresql"
    assert source["name"] == service.name
    assert source["snapshot"] == "false"
    assert (source["schema"], source["table"]) == ("public", "items")
    assert json.loads(source["sequence"]) == [str(source["commit_lsn"]), str(source["lsn"])]
    assert values[0]["transaction"]["id"] == f"{source['txId']}:{source['commit_lsn']}"
    assert source["ts_us"] // 1000 == source["ts_ms"]
    assert values[0]["ts_us"] >= source["ts_us"]


def test_a_toasted_value_that_was_not_sent_is_marked_and_with_full_it_is_filled(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES + MARKS)
    big = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 2000) n"
    service.sql(
        "CREATE TABLE plain (id int PRIMARY KEY, n int, big text)",
        "CREATE TABLE whole (id int PRIMARY KEY, n int, big text)",
        "ALTER TABLE whole REPLICA IDENTITY FULL",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    _publish(
        service,
        f"INSERT INTO plain VALUES (1, 1, ({big}))",
        f"INSERT INTO whole VALUES (1, 1, ({big}))",
        "UPDATE plain SET n = 2",
        "UPDATE whole SET n = 2",
    )
    plain = _records(service, f"{service.name}.public.plain")[-1][1]
    assert plain["unchanged"] == ["big"]
    assert plain["after"] == {"id": 1, "n": 2, "big": None}
    assert plain["before"] is None
    whole = _records(service, f"{service.name}.public.whole")[-1][1]
    assert whole["unchanged"] == []
    assert len(whole["after"]["big"]) == 64000
    assert whole["before"]["n"] == 1
    metrics = service.sidecar.scrape()
    line = 'cdc_sidecar_unchanged_columns_total{column="big",table="public.plain"} 1.0'
    assert line in metrics


def test_a_truncate_reaches_every_partition_without_a_key(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(f'{TABLES}truncate = "event"\n{MARKS}')
    service.sql("CREATE TABLE items (id int PRIMARY KEY)", "CREATE PUBLICATION cdc FOR ALL TABLES")
    _publish(service, "INSERT INTO items VALUES (1)", "TRUNCATE items")
    reader = read_registry(service.kafka, service.name)
    for records in read_topics(service.kafka, service.topics("items")).values():
        key, value, _ = records[-1]
        assert key is None
        assert value is not None
        event = reader.read(value)
        assert event["op"] == "t"
        assert event["before"] is event["after"] is None


def test_every_replica_identity_gives_its_key(make_service: Callable[..., Service]) -> None:
    service = make_service(
        '\n[[tables]]\nname = "public.logs"\ncolumns = ["*"]\nunkeyed = true\n'
        '\n[[tables]]\nname = "public.full_key"\ncolumns = ["*"]\nkey = ["b"]\n'
        + TABLES
        + '[messages]\nprefixes = ["mark"]\n'
    )
    service.sql(
        "CREATE TABLE pair (a int, b int, c text, PRIMARY KEY (b, a))",
        "CREATE TABLE by_index (a int PRIMARY KEY, b int NOT NULL UNIQUE)",
        "ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_b_key",
        "CREATE TABLE full_key (a int, b int)",
        "ALTER TABLE full_key REPLICA IDENTITY FULL",
        "CREATE TABLE logs (line text)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    _publish(
        service,
        "INSERT INTO pair VALUES (1, 2, 'x')",
        "INSERT INTO by_index VALUES (1, 2)",
        "INSERT INTO full_key VALUES (1, 2)",
        "UPDATE full_key SET a = 9",
        "INSERT INTO logs VALUES ('x')",
    )
    keys = {
        table: [list((key or {}).items()) for key, _ in _records(service, topic)]
        for table, topic in (
            (table, f"{service.name}.public.{table}")
            for table in ("pair", "by_index", "full_key", "logs")
        )
    }
    assert keys == {
        "pair": [[("b", 2), ("a", 1)]],
        "by_index": [[("b", 2)]],
        "full_key": [[("b", 2)], [("b", 2)]],
        "logs": [[]],
    }


def test_outbox_rows_become_events_of_their_aggregate_in_commit_order(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(OUTBOX + MARKS)
    service.sql(
        "CREATE TABLE outbox (id uuid PRIMARY KEY, aggregatetype text, aggregateid text,"
        " type text, payload jsonb, traceparent text)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    kind = f"order{service.name}"
    _publish(
        service,
        f"INSERT INTO outbox VALUES ('00000000-0000-0000-0000-000000000001', '{kind}', '7',"
        " 'placed', '{\"total\": 5}', '00-abc')",
        f"INSERT INTO outbox VALUES ('00000000-0000-0000-0000-000000000002', '{kind}', '7',"
        " 'paid', NULL, NULL)",
        "UPDATE outbox SET type = 'changed'",
        "DELETE FROM outbox",
    )
    reader = read_registry(service.kafka, service.name)
    seen = [
        (reader.read(key or b""), None if value is None else reader.read(value), dict(headers))
        for records in read_topics(service.kafka, [f"outbox.event.{kind}"]).values()
        for key, value, headers in records
    ]
    first, second = (f"00000000-0000-0000-0000-00000000000{n}".encode() for n in (1, 2))
    assert all(int(headers.pop("commit_lsn")) for _, _, headers in seen)
    assert seen == [
        ("7", '{"total": 5}', {"id": first, "type": b"placed", "traceparent": b"00-abc"}),
        ("7", None, {"id": second, "type": b"paid"}),
    ]
    metrics = service.sidecar.scrape()
    assert 'cdc_sidecar_outbox_updates_total{table="public.outbox"} 2.0' in metrics
    assert sum(e["updates"] for e in service.sidecar.events("outbox_rows_updated")) == 2


def test_an_outbox_row_without_a_key_halts_and_says_what_to_do(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(OUTBOX)
    service.sql(
        "CREATE TABLE outbox (id int, aggregatetype text, aggregateid text, type text,"
        " payload text)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO outbox VALUES (1, 'a', NULL, 't', 'secret payload')")
    assert service.sidecar.await_exit() == 3
    (halt,) = service.sidecar.events("sidecar_halted")
    assert halt["code"] == "CDC-304"
    assert "aggregateid" in halt["fact"]
    assert "secret payload" not in service.sidecar.log_text()


def test_logical_messages_with_an_opted_in_prefix_are_published(service: Service) -> None:
    _publish(
        service,
        "SELECT pg_logical_emit_message(true, 'other', 'no')",
        "BEGIN; INSERT INTO items VALUES (1, 1, 'a');"
        " SELECT pg_logical_emit_message(true, 'mark', 'inside'); COMMIT",
        "SELECT pg_logical_emit_message(false, 'mark', 'alone')",
    )
    values = [value for _, value in _records(service, f"{service.name}.message")]
    contents = {bytes.fromhex(value["message"]["content"]): value for value in values}
    assert contents.keys() == {b"inside", b"alone", b"x"}
    assert contents[b"inside"]["transaction"]["total_order"] == 2
    assert contents[b"alone"]["transaction"] is None
    assert contents[b"alone"]["source"]["commit_lsn"] == contents[b"alone"]["source"]["lsn"]


def test_ddl_between_two_rows_gives_a_new_schema_before_the_second(service: Service) -> None:
    _publish(
        service,
        "INSERT INTO items VALUES (1, 1, 'a')",
        "ALTER TABLE items ADD COLUMN extra numeric(8,3)",
        "INSERT INTO items VALUES (2, 2, 'b', 1.5)",
        "ALTER TABLE items RENAME COLUMN label TO title",
        "INSERT INTO items VALUES (3, 3, 'c', 2.5)",
        "ALTER TABLE items DROP COLUMN extra",
        "ALTER TABLE items ALTER COLUMN n TYPE bigint",
        "INSERT INTO items VALUES (4, 4000000000, 'd')",
    )
    rows = {
        value["after"]["id"]: value["after"]
        for _, value in _records(service, f"{service.name}.public.items")
    }
    assert rows == {
        1: {"id": 1, "n": 1, "label": "a"},
        2: {"id": 2, "n": 2, "label": "b", "extra": "1.500"},
        3: {"id": 3, "n": 3, "title": "c", "extra": "2.500"},
        4: {"id": 4, "n": 4000000000, "title": "d"},
    }
    code, body = service.sidecar.get(f"/subjects/{service.name}.public.items-value/versions")
    assert (code, json.loads(body)) == (200, [1, 2, 3, 4])


def test_a_replay_after_ddl_gives_the_same_bytes(service: Service) -> None:
    service.sql(
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE TABLE people (a int, b int, m mood, PRIMARY KEY (b, a))",
    )
    _publish(service, "INSERT INTO people VALUES (1, 2, 'ok')")
    before = read_topics(service.kafka, [f"{service.name}.public.people"])
    service.sidecar.kill()
    service.sql(
        "INSERT INTO people VALUES (3, 4, 'sad')",
        "ALTER TABLE people DROP COLUMN m",
        "DROP TYPE mood",
        "ALTER TABLE people DROP CONSTRAINT people_pkey, ADD PRIMARY KEY (a, b)",
        "INSERT INTO people VALUES (5, 6)",
    )
    service.sidecar.start_and_stream()
    service.await_published()
    rows = _records(service, f"{service.name}.public.people")
    assert {value["after"]["a"]: (list(key), value["after"]) for key, value in rows} == {
        1: (["b", "a"], {"a": 1, "b": 2, "m": "ok"}),
        3: (["b", "a"], {"a": 3, "b": 4, "m": "sad"}),
        5: (["a", "b"], {"a": 5, "b": 6}),
    }
    after = read_topics(service.kafka, [f"{service.name}.public.people"])
    assert all(after[place][: len(records)] == records for place, records in before.items())


def test_only_configured_columns_leave_masked_and_renamed_as_asked(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(
        '\n[[tables]]\nname = "public.users"\ncolumns = ["id", "email", "balance"]\n'
        '[tables.column.email]\nmask = "hash"\n'
        '[tables.column.balance]\nas = "text"\nrename = "amount"\n'
        '[messages]\nprefixes = ["mark"]\n'
    )
    service.sql(
        "CREATE TABLE users (id int PRIMARY KEY, email text, balance numeric(9,2), ssn text)",
        "CREATE TABLE hidden (id int PRIMARY KEY, ssn text)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    _publish(
        service,
        "INSERT INTO users VALUES (1, 'canary-email', 'NaN', 'canary-ssn')",
        "INSERT INTO hidden VALUES (1, 'canary-ssn')",
    )
    topic = f"{service.name}.public.users"
    ((_, value),) = _records(service, topic)
    row = value["after"]
    assert row.keys() == {"id", "email", "amount"}
    assert row["amount"] == "NaN"
    assert len(row["email"]) == 64
    everything = repr(read_topics(service.kafka, [topic])) + service.sidecar.log_text()
    everything += service.sidecar.scrape() + service.sidecar.get("/status")[1]
    assert "canary" not in everything
    ignored = 'cdc_sidecar_ignored_changes_total{table="public.hidden"} 1.0'
    assert ignored in service.sidecar.scrape()


def test_a_value_that_cannot_be_represented_halts_without_showing_it(
    make_service: Callable[..., Service],
) -> None:
    service = make_service()
    service.sql(
        "CREATE TABLE items (id int PRIMARY KEY, price numeric(9,2))",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    service.sidecar.start_and_stream()
    service.sql(
        "INSERT INTO items VALUES (1, 5)",
        "BEGIN; INSERT INTO items VALUES (2, 6); INSERT INTO items VALUES (3, 'NaN'); COMMIT",
    )
    assert service.sidecar.await_exit() == 3
    (halt,) = service.sidecar.events("sidecar_halted")
    assert halt["code"] == "CDC-301"
    assert "price" in halt["fact"]
    assert "public.items" in halt["where"]
    assert 'as = "text"' in halt["hint"]
    records = _records(service, f"{service.name}.public.items")
    assert [key for key, _ in records] == [{"id": 1}], "part of the transaction was published"
    with psycopg.connect(service.dsn) as connection:
        query = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
        row = connection.execute(query, (f"{service.name}_cdc",)).fetchone()
    assert row == (False,)
