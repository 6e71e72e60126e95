"""Confluent's AvroConverter and Debezium's JDBC sink copy a table into a second Postgres."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@pytest.fixture(scope="module", params=["Europe/Berlin", "America/New_York"])
def connect(kafka: KafkaBroker, request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Yield a worker of Kafka Connect in a JVM of another time zone."""
    zone = f"-Duser.timezone={request.param}"
    with Connect(kafka, "http://of-the-connectors", sink_class_path(), zone) as worker:
        yield worker


@pytest.fixture
def target(postgres: PostgresServer) -> Iterator[str]:
    """Yield the connection string of the database that the sink writes to."""
    with new_database(postgres) as dsn:
        yield dsn


def _rows(dsn: str) -> list[Any]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        return connection.execute("SELECT items::text FROM items ORDER BY 1").fetchall()


def _create(target: str, *statements: str) -> None:
    with psycopg.connect(target, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@contextmanager
def _copied(service: Service, target: str, connect: Connect) -> Iterator[Sink]:
    """Yield a sink that copies the table `items`."""
    registry = f"http://127.0.0.1:{service.sidecar.port}"
    sink = Sink(connect, service.name, f"{service.name}.public.items", registry, target)
    sink.start()
    yield sink
    sink.close()


def test_a_table_and_its_copy_are_equal_row_by_row(
    make_service: Callable[..., Service], target: str, connect: Connect
) -> None:
    service = make_service(_CONFIG)
    service.sql(_CREATE, "CREATE PUBLICATION cdc FOR ALL TABLES")
    _create(target, _CREATE)
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items SELECT n, n, 'row ' || n, now() FROM generate_series(1, 300) n")
    service.await_published()
    with _copied(service, target, connect) as sink:
        sink.await_true(lambda: _rows(target) == _rows(service.dsn), "300 rows")
        service.sql(
            "UPDATE items SET label = 'changed' WHERE id % 2 = 0",
            "UPDATE items SET id = id + 1000 WHERE id < 10",
            "DELETE FROM items WHERE id > 250 AND id < 300",
        )
        sink.await_true(lambda: _rows(target) == _rows(service.dsn), "the changes")


def test_by_default_a_truncate_loses_no_row_that_was_inserted_after_it(
    make_service: Callable[..., Service], target: str, connect: Connect
) -> None:
    service = make_service(_CONFIG)
    service.sql(_CREATE, "CREATE PUBLICATION cdc FOR ALL TABLES")
    _create(target, _CREATE)
    service.sidecar.start_and_stream()
    with _copied(service, target, connect) as sink:
        for first in range(0, 3000, 1000):
            rows = f"SELECT {first} + n, 7, 'x', now() FROM generate_series(1, 300) n"
            service.sql(f"BEGIN; TRUNCATE items; INSERT INTO items {rows}; COMMIT")
            sink.await_true(lambda: set(_rows(service.dsn)) <= set(_rows(target)), "every row")
    assert service.sidecar.events("truncate_skipped")


_SENT_AS_IS = {
    "boolean": ["true"],
    "smallint": ["-32768"],
    "integer": ["2147483647"],
    "bigint": ["-9223372036854775808"],
    "real": ["1.5", "NaN"],
    "double precision": ["1e300", "-Infinity"],
    "numeric(12,3)": ["-123456789.125"],
    "numeric": ["12345678901234567890.0123456789", "NaN", "1e40"],
    "text": ['å "quoted"', ""],
    "varchar(20)": ["varchar"],
    "char(4)": ["ab"],
    "bytea": [r"\x00ff", ""],
    "json": ['{"a": 1}'],
    "jsonb": ['{"a": [1, null]}'],
    "uuid": ["6ecd8c99-4036-403d-bf84-cf8400f67836"],
    "date": ["2024-03-31", "1582-10-10", "0044-03-15 BC", "10000-01-01", "-infinity"],
    "time": ["02:30:00", "23:59:59.123456"],
    "time with time zone": ["02:30:00+05:30", "02:30:00.123456-11"],
    # in Berlin and in New York: hours that do not exist, or that occur twice; local mean time
    "timestamp": [
        *("2024-03-31 02:30:00.123456", "2024-10-27 02:30:00", "1800-01-01 00:00:00"),
        *("2024-03-10 02:30:00", "2024-11-03 01:30:00", "0044-03-15 12:00:00 BC", "-infinity"),
    ],
    "interval": ["1 mon 2 days 03:04:05.678", "-1 mon +2 days -03:04:05"],
    "inet": ["10.0.0.1/8", "::1"],
    "macaddr": ["08:00:2b:01:02:03"],
    "bit(3)": ["101"],
    "int4range": ["[1,5)"],
    "tsvector": ["'a' 'b'"],
    "pg_lsn": ["0/16B3748"],
    "point": ["(1,2)"],
    "money": ["-12.34"],
    "oid": ["4294967295"],
    "mood": ["ok"],
    "small": ["7"],  # a domain
    "smallint[]": ["{1,NULL,-2}"],
    "bigint[]": ["{9223372036854775807}"],
    "boolean[]": ["{t,f,NULL}"],
    "double precision[]": ["{1.5,NULL}"],
    "text[]": ["{a,NULL,b}", "{}"],
    "uuid[]": ["{6ecd8c99-4036-403d-bf84-cf8400f67836}"],
    "jsonb[]": ['{"{}"}'],
}
_SENT_AS_ISO = {
    "timestamp with time zone": [
        *("2024-03-31 00:30:00.123456+00", "1800-01-01 00:00:00+00", "0044-03-15 12:00:00+00 BC"),
        *("294276-12-31 23:59:59+00", "infinity", "-infinity"),
    ]
}
_SENT_AS_TEXT = {
    "date": ["infinity"],
    "time": ["24:00:00"],
    "time with time zone": ["24:00:00+00"],
    "timestamp": ["infinity"],
    "xid": ["4294967295"],
    "date[]": ["{2024-03-31}"],  # otherwise a day less in New York
    "timestamp[]": ['{"2024-03-31 02:30:00.123456"}'],
    "timestamp with time zone[]": ['{"2024-03-31 00:30:00.123456+00"}'],
    "time[]": ["{23:59:59.123456}"],
    "numeric(10,2)[]": ["{1.25,NULL}"],
    "numeric[]": ["{1.5}"],
    "bytea[]": [r'{"\\x00ff"}'],
    "inet[]": ["{10.0.0.1}"],
    "mood[]": ["{ok}"],
    "interval[]": ["{1 day}"],
    "integer[]": ["{{1,2},{3,4}}"],
}
_OWN_TYPES = ("CREATE TYPE mood AS ENUM ('ok')", "CREATE DOMAIN small AS smallint")


def _columns() -> Iterator[tuple[str, str, list[str], str]]:
    """Yield for each column its name, its type, its values, and the lines that configure it."""
    groups = (("", _SENT_AS_IS), ("iso", _SENT_AS_ISO), ("text", _SENT_AS_TEXT))
    for form, types in groups:
        for number, (kind, values) in enumerate(types.items()):
            name = f"c{form}{number}"
            yield name, kind, values, f'[tables.column.{name}]\nas = "{form}"\n' if form else ""


def test_every_type_has_the_same_value_in_a_column_of_the_same_type(
    make_service: Callable[..., Service], target: str, connect: Connect
) -> None:
    columns = list(_columns())
    listed = ", ".join(f"{name} {kind}" for name, kind, *_ in columns)
    create = (*_OWN_TYPES, f"CREATE TABLE items (id serial PRIMARY KEY, {listed})")
    service = make_service(_ITEMS + "".join(lines for *_, lines in columns) + MARKS)
    service.sql(*create, "CREATE PUBLICATION cdc FOR ALL TABLES")
    _create(target, *create)
    service.sidecar.start_and_stream()
    with psycopg.connect(service.dsn) as connection:
        for name, kind, values, _ in columns:
            for value in values:
                text = f"INSERT INTO items ({name}) VALUES (%s::text::{kind})"
                connection.execute(text.encode(), (value,))
    service.await_published()
    with _copied(service, target, connect) as sink:
        sink.await_true(lambda: len(_rows(target)) == len(_rows(service.dsn)), "every row")
    assert _rows(target) == _rows(service.dsn)


_KEYS = {
    "smallint": ("7", ""),
    "uuid": ("6ecd8c99-4036-403d-bf84-cf8400f67836", ""),
    "date": ("2024-03-31", ""),
    "timestamp": ("2024-03-31 02:30:00.123456", ""),
    "timestamp with time zone": ("2024-03-31 00:30:00.123456+00", "iso"),
    "time with time zone": ("02:30:00+05:30", ""),
    "numeric(10,2)": ("1.20", ""),
    "bytea": (r"\x00ff", ""),
    "boolean": ("true", ""),
    "mood": ("ok", ""),
    "char(4)": ("ab", ""),
    "inet": ("10.0.0.1", ""),
    "time": ("23:59:59.123456", "text"),
    "money": ("1.20", "text"),
    "jsonb": ('{"a": 1}', "text"),
}


def test_rows_are_found_again_by_a_key_of_every_type(
    make_service: Callable[..., Service], target: str, connect: Connect
) -> None:
    names = [f"c{number}" for number in range(len(_KEYS))]
    listed = ", ".join(f"{name} {kind}" for name, kind in zip(names, _KEYS, strict=True))
    table = f"CREATE TABLE items (n int, {listed}, PRIMARY KEY (n, {', '.join(names)}))"
    forms = zip(names, (form for _, form in _KEYS.values()), strict=True)
    lines = [f'[tables.column.{name}]\nas = "{form}"\n' for name, form in forms if form]
    service = make_service(_ITEMS + "".join(lines) + MARKS)
    service.sql(*_OWN_TYPES, table, "CREATE PUBLICATION cdc FOR ALL TABLES")
    _create(target, *_OWN_TYPES, table)
    values = ", ".join(f"'{value}'" for value, _ in _KEYS.values())
    service.sidecar.start_and_stream()
    with _copied(service, target, connect) as sink:
        service.sql(f"INSERT INTO items VALUES (1, {values}), (2, {values})")
        sink.await_true(lambda: _rows(target) == _rows(service.dsn), "two rows")
        service.sql("DELETE FROM items WHERE n = 1", "UPDATE items SET n = 3")
        sink.await_true(lambda: _rows(target) == _rows(service.dsn), "one row under another key")
