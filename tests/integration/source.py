"""A source for tests: a database whose changes are read with SQL, decoded as for the sidecar.

`pg_logical_slot_get_binary_changes` decodes in the session that calls it, so that session pins the
same settings for the text of values as every connection of the sidecar.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from cdc_sidecar.config.model import Postgres, Table
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.postgres.catalog import (
    PublishedTable,
    read_layout_facts,
    read_published_tables,
)
from cdc_sidecar.postgres.connect import connection_string
from cdc_sidecar.postgres.lsn import parse_lsn
from tests.unit import wire
from tests.unit.shop import Published, Shop

SLOT = "slot"
PUBLICATION = "publication"
_CHANGES = """
SELECT lsn::text, data FROM pg_logical_slot_get_binary_changes(
    %s, NULL, NULL, 'proto_version', '1', 'publication_names', %s, 'messages', 'true')
"""


class Source:
    """One database with a publication and a slot; both connections are in autocommit mode."""

    def __init__(self, writer: psycopg.Connection, reader: psycopg.Connection) -> None:
        """Use one connection as a service, the other as the sidecar."""
        self._writer = writer
        self.reader = reader

    @property
    def major(self) -> int:
        """The major version of the server."""
        return self.reader.info.server_version // 10_000

    def run(self, *statements: str) -> None:
        """Run statements, each in its own transaction."""
        for statement in statements:
            self._writer.execute(statement.encode())

    def run_together(self, *statements: str) -> None:
        """Run statements in one transaction."""
        with self._writer.transaction():
            self.run(*statements)

    def run_many(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Run a statement for each row of parameters, all in one transaction."""
        with self._writer.transaction(), self._writer.cursor() as cursor:
            cursor.executemany(statement.encode(), rows)

    def stream(self, publication: str = "FOR ALL TABLES") -> None:
        """Create the publication, and a slot that starts here."""
        self.run(
            f"CREATE PUBLICATION {PUBLICATION} {publication}",
            f"SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')",
        )

    def frames(self) -> list[bytes]:
        """Return the changes since the last call, decoded, as XLogData frames."""
        rows = self.reader.execute(_CHANGES, (SLOT, PUBLICATION))
        return [wire.frame(parse_lsn(lsn), bytes(data)) for lsn, data in rows]

    def tables(self) -> tuple[PublishedTable, ...]:
        """Return the published tables as the catalog describes them."""
        return read_published_tables(self.reader, PUBLICATION)

    def session(self, *tables: Table, schemas: SchemaLog | None = None) -> Shop:
        """Begin a session whose catalog is the real one."""
        return Shop(
            tables=tables,
            schemas=schemas,
            read_facts=lambda relation: read_layout_facts(self.reader, relation),
        )

    def publish(self, *tables: Table) -> Published:
        """Assemble the changes since the last call, in a new session."""
        return self.session(*tables).publish(*self.frames())

    def select(self, query: str) -> list[tuple[Any, ...]]:
        """Return rows, read with the pinned settings."""
        return self.reader.execute(query.encode()).fetchall()


@contextmanager
def source_of(dsn: str) -> Iterator[Source]:
    """Connect to a database."""
    with (
        psycopg.connect(dsn, autocommit=True) as writer,
        psycopg.connect(connection_string(config_of(dsn)), autocommit=True) as reader,
    ):
        yield Source(writer, reader)


def config_of(dsn: str) -> Postgres:
    """Return the sidecar's configuration of a source."""
    return Postgres.model_validate({"dsn": dsn, "slot": SLOT, "publication": PUBLICATION})
