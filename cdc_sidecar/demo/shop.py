"""The demo's shop: its tables in Postgres and the configuration of the sidecar."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from cdc_sidecar.demo.verdict import Row, TableRows

SERVICE: Final = "shop"
PUBLICATION: Final = "shop_cdc"
SLOT: Final = "shop_cdc"
OUTBOX_TABLE: Final = "public.outbox"

MARKER_TOPIC: Final = "outbox.event.shop"
"""The topic of a single event, which is written last."""

KEYS: Final = {
    "public.customers": ("id",),
    "public.orders": ("id",),
    "public.order_lines": ("order_id", "line_no"),
}
"""The captured tables and the columns of their keys."""

ADDED_COLUMN: Final = "ALTER TABLE orders ADD COLUMN channel text"

_TABLES: Final = """
CREATE TABLE customers (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL,
    profile jsonb NOT NULL
);
-- kept out of line and not compressed: an update of another column does not send it
ALTER TABLE customers ALTER COLUMN profile SET STORAGE EXTERNAL;
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES customers,
    status text NOT NULL CHECK (status IN ('placed', 'paid', 'packed', 'shipped', 'returned')),
    total numeric(10, 2) NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE orders REPLICA IDENTITY FULL;
CREATE TABLE order_lines (
    order_id bigint NOT NULL REFERENCES orders,
    line_no integer NOT NULL,
    article text NOT NULL,
    quantity integer NOT NULL,
    price numeric(10, 2) NOT NULL,
    PRIMARY KEY (order_id, line_no)
);
CREATE TABLE outbox (
    id uuid PRIMARY KEY,
    aggregatetype text NOT NULL,
    aggregateid text NOT NULL,
    type text NOT NULL,
    payload jsonb NOT NULL
);
CREATE PUBLICATION shop_cdc FOR TABLE customers, orders, order_lines, outbox;
"""

OLDER_ROWS: Final = 50_000
"""Customers that the shop has before the sidecar is started for the first time."""

_FILL: Final = f"""
INSERT INTO customers
SELECT gen_random_uuid(), 'Customer ' || n, n || '@example.org', '{{"visits": 1}}'
FROM generate_series(1, {OLDER_ROWS}) n;
ANALYZE customers;
"""  # noqa: S608 - a constant

_CONFIG: Final = """\
[service]
name = "{service}"

[postgres]
dsn = "{dsn}"
slot = "{slot}"
publication = "{publication}"
create_slot = true

[kafka]
bootstrap_servers = "{bootstrap_servers}"

[topics]
create = true
partitions = 2
replication_factor = 1

[[tables]]
name = "public.customers"
columns = ["*"]

[[tables]]
name = "public.order*"
columns = ["*"]

[[outboxes]]
table = "{outbox}"

[http]
listen = "127.0.0.1:{port}"
"""


def topic_of(table: str) -> str:
    """Return the topic of `schema.table`."""
    return f"{SERVICE}.{table}"


def key_of(values: Sequence[str | None]) -> str:
    """Return the texts of a key's columns as one text."""
    return json.dumps(values)


def create_shop(server: str, shop: str) -> None:
    """Create the shop's database, tables with their older rows, and publication.

    `server` is the connection string of an existing database, `shop` that of the new one.
    """
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {SERVICE}")
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute(_TABLES)
        connection.execute(_FILL)


def write_config(path: Path, *, dsn: str, bootstrap_servers: str, port: int) -> None:
    """Write the sidecar's configuration; its HTTP server listens on `port` of 127.0.0.1."""
    text = _CONFIG.format(
        service=SERVICE,
        dsn=dsn,
        slot=SLOT,
        publication=PUBLICATION,
        bootstrap_servers=bootstrap_servers,
        outbox=OUTBOX_TABLE,
        port=port,
    )
    path.write_text(text, encoding="utf-8")


def read_tables(dsn: str) -> dict[str, TableRows]:
    """Return the rows of the captured tables by topic, as Postgres' own text."""
    options = "-c timezone=UTC -c datestyle=ISO"
    with psycopg.connect(dsn, options=options) as connection:
        return {topic_of(table): _read_table(connection, table) for table in KEYS}


def _read_table(connection: psycopg.Connection, table: str) -> TableRows:
    name = sql.Identifier(*table.split("."))
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(name))
        columns = [column.name for column in cursor.description or ()]
        with cursor.copy(sql.SQL("COPY {} TO STDOUT").format(name)) as copy:
            rows: list[Row] = [dict(zip(columns, values, strict=True)) for values in copy.rows()]
    return {key_of([row[part] for part in KEYS[table]]): row for row in rows}
