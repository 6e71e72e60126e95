"""Confluent's AvroConverter and Debezium's JDBC sink copy a table into a second Postgres."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks.debezium import Connect
from benchmarks.downloads import sink_class_path
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import MARKS, Service, service_maker
from tests.conftest import new_database
from tests.interop.connect import Sink

_ITEMS = '\n[[tables]]\nname = "public.items"\ncolumns = ["*"]\n'
_CONFIG = _ITEMS + '[tables.column.at]\nas = "iso"\n' + MARKS
_CREATE = "CREATE TABLE items (id bigint PRIMARY KEY, n smallint, label text, at timestamptz)"


@pytest.fixture
def make_service(
    database: str, kafka: KafkaBroker, tmp_path: Path
) -> Iterator[Callable[..., Service]]:
    """Make services on one database."""
    with service_maker(database, kafka.bootstrap_servers, tmp_path) as make:
        yield make


@pytest.fixture
def target(postgres: PostgresServer) -> Iterator[str]:
    """Yield the connection string of the database that the sink writes to."""
    with new_database(postgres) as dsn:
        yield dsn


def _rows(dsn: str) -> list[Any]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        return connection.execute("SELECT items::text FROM items ORDER BY 1").fetchall()


def _copied(service: Service, target: str, kafka: KafkaBroker, *create: str) -> Iterator[Sink]:
    """Yield a sink that copies the table `items`, in a JVM of another time zone."""
    with psycopg.connect(target, autocommit=True) as connection:
        for statement in create:
            connection.execute(statement.encode())
    registry = f"http://127.0.0.1:{service.sidecar.port}"
    with Connect(kafka, registry, sink_class_path(), "-Duser.timezone=Europe/Berlin") as connect:
        sink = Sink(connect, service.name, f"{service.name}.public.items", target)
        sink.start()
        yield sink


def test_a_table_and_its_copy_are_equal_row_by_row(
    make_service: Callable[..., Service], target: str, kafka: KafkaBroker
) -> None:
    service = make_service(_CONFIG)
    service.sql(_CREATE, "CREATE PUBLICATION cdc FOR ALL TABLES")
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items SELECT n, n, 'row ' || n, now() FROM generate_series(1, 300) n")
    service.await_published()
    for sink in _copied(service, target, kafka, _CREATE):
        sink.await_true(lambda: _rows(target) == _rows(service.dsn), "300 rows")
        service.sql(
            "UPDATE items SET label = 'changed' WHERE id % 2 = 0",
            "UPDATE items SET id = id + 1000 WHERE id < 10",
            "DELETE FROM items WHERE id > 250 AND id < 300",
        )
        sink.await_true(lambda: _rows(target) == _rows(service.dsn), "the changes")


def test_by_default_a_truncate_loses_no_row_that_was_inserted_after_it(
    make_service: Callable[..., Service], target: str, kafka: KafkaBroker
) -> None:
    service = make_service(_CONFIG)
    service.sql(_CREATE, "CREATE PUBLICATION cdc FOR ALL TABLES")
    service.sidecar.start_and_stream()
    for sink in _copied(service, target, kafka, _CREATE):
        for first in range(0, 3000, 1000):
            rows = f"SELECT {first} + n, 7, 'x', now() FROM generate_series(1, 300) n"
            service.sql(f"BEGIN; TRUNCATE items; INSERT INTO items {rows}; COMMIT")
            sink.await_true(lambda: set(_rows(service.dsn)) <= set(_rows(target)), "every row")
    assert service.sidecar.events("truncate_skipped")


_TYPES = {
    "boolean": "true",
    "smallint": "-32768",
    "integer": "2147483647",
    "bigint": "-9223372036854775808",
    "real": "1.5",
    "double precision": "1e300",
    "numeric(12,3)": "-123456789.125",
    "numeric": "12345678901234567890.0123456789",
    "text": "'å \"quoted\"'",
    "varchar(20)": "'varchar'",
    "char(4)": "'ab'",
    "bytea": "'\\x00ff'",
    "json": """'{"a": 1}'""",
    "jsonb": """'{"a": [1, null]}'""",
    "uuid": "'6ecd8c99-4036-403d-bf84-cf8400f67836'",
    "date": "'2024-03-31'",
    "time": "'23:59:59.123456'",
    "time with time zone": "'02:30:00+05:30'",
    "timestamp": "'2024-03-31 02:30:00.123456'",
    "timestamp with time zone": "'2024-03-31 00:30:00.123456+00'",
    "interval": "'1 mon 2 days 03:04:05.678'",
    "inet": "'10.0.0.1/8'",
    "bit(3)": "'101'",
    "int4range": "'[1,5)'",
    "money": "12.34",
    "oid": "4294967295",
    "text[]": "'{a,NULL,b}'",
    "mood": "'ok'",
}


def test_every_type_has_the_same_value_in_a_column_of_the_same_type(
    make_service: Callable[..., Service], target: str, kafka: KafkaBroker
) -> None:
    names = {kind: f"c{number}" for number, kind in enumerate(_TYPES)}
    columns = ", ".join(f"{name} {kind}" for kind, name in names.items())
    create = (
        "CREATE TYPE mood AS ENUM ('ok')",
        f"CREATE TABLE items (id int PRIMARY KEY, {columns})",
    )
    iso = f'[tables.column.{names["timestamp with time zone"]}]\nas = "iso"\n'
    service = make_service(_ITEMS + iso + MARKS)
    service.sql(*create, "CREATE PUBLICATION cdc FOR ALL TABLES")
    service.sidecar.start_and_stream()
    for number, (kind, value) in enumerate(_TYPES.items()):
        service.sql(f"INSERT INTO items (id, {names[kind]}) VALUES ({number}, {value})")
    service.await_published()
    for sink in _copied(service, target, kafka, *create):
        sink.await_true(lambda: len(_rows(target)) == len(_TYPES), "every row")
    assert _rows(target) == _rows(service.dsn)
