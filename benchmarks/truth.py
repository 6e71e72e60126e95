"""Reads the published events under `read_committed` and compares them with the tables."""

import json
import time
import urllib.request
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any, Final
from uuid import UUID

import fastavro
import psycopg
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from psycopg import sql

from benchmarks.meters import Partition
from benchmarks.source import SourceDatabase
from benchmarks.workloads import Outbox, Workload

_FRAME: Final = 5  # bytes: zero, and the schema's id
_IDLE_SECONDS: Final = 15.0  # without a record; after that the rest counts as missing
_REQUEST_SECONDS: Final = 20.0  # for one answer of a schema registry
_ROWS: Final = 20_000  # fetched from a table at once: memory stays small, and requests are few
_RECORDS: Final = 5_000  # fetched from the consumer at once
_POLL_SECONDS: Final = 0.05  # the longest wait for that many

Columns = dict[str, tuple[str, ...]]
"""The columns that are compared, by table; the first is the key."""
Digests = dict[str, dict[Any, int]]
"""A digest of each row, by table and key."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The rows of the tables, as digests."""

    columns: Columns
    digests: Digests


@dataclass(frozen=True, slots=True)
class Truth:
    """The published events compared with the written rows."""

    written: int
    came: int
    out_of_order: int  # the version does not grow, or a key without versions came twice
    different: int  # keys whose last state is not the row in the table
    offsets: dict[Partition, "array[int]"]

    @property
    def is_exact(self) -> bool:
        """Whether nothing is lost, repeated, out of order or different."""
        return self.written == self.came and not self.out_of_order and not self.different

    def __str__(self) -> str:
        """Return the result as text."""
        if self.is_exact:
            return "exact"
        return (
            f"{self.came:,} of {self.written:,} came, {self.out_of_order:,} out of order, "
            f"{self.different:,} keys differ"
        )


def read_tables(source: SourceDatabase) -> Tables:
    """Read the rows that the events must end with."""
    workload, columns, digests = source.workload, Columns(), Digests()
    with psycopg.connect(source.dsn) as connection:
        if isinstance(workload, Outbox):
            rows = connection.execute(workload.expected.encode())
            events = ((str(row[0]), *row[1:3], _payload(row[3], workload)) for row in rows)
            return Tables({"outbox": ()}, {"outbox": {row[0]: hash(row) for row in events}})
        for table in workload.tables:
            with connection.cursor(f"rows_of_{table}") as cursor:
                cursor.itersize = _ROWS
                cursor.execute(_select(workload, table))
                columns[table] = tuple(column.name for column in cursor.description or ())
                digests[table] = {_plain(row[0]): hash(tuple(map(_plain, row))) for row in cursor}
    return Tables(columns, digests)


def read_truth(
    source: SourceDatabase, tables: Tables, *, kafka: str, partitions: set[Partition], registry: str
) -> Truth:
    """Read all records of `partitions` and compare them with the tables."""
    workload = source.workload
    tally = (
        OutboxTally(tables, workload)
        if isinstance(workload, Outbox)
        else RowTally(tables, workload.version)
    )
    decode = Decoder(registry)
    for message in _messages(kafka, partitions):
        tally.add(message, decode)
    return Truth(
        source.backlog.events,
        sum(map(len, tally.offsets.values())),
        tally.out_of_order,
        tally.differences(),
        tally.offsets,
    )


class Decoder:
    """Decodes framed values with the schemas of a registry; of an envelope, only the rows."""

    def __init__(self, registry: str) -> None:
        self._registry = registry
        self._schemas: dict[bytes, Any] = {}

    def __call__(self, framed: bytes) -> Any:  # noqa: ANN401 - a value of the schema
        """Return a value; of a record that begins with `before` and `after`, only these two."""
        schema = self._schemas.get(framed[1:_FRAME])
        if schema is None:
            schema = self._schemas[framed[1:_FRAME]] = self._load(framed[1:_FRAME])
        return fastavro.schemaless_reader(BytesIO(framed[_FRAME:]), schema, None)

    def _load(self, identifier: bytes) -> Any:  # noqa: ANN401 - JSON
        url = f"{self._registry}/schemas/ids/{int.from_bytes(identifier, 'big')}"
        with urllib.request.urlopen(url, timeout=_REQUEST_SECONDS) as answer:  # noqa: S310 - http, our own address
            return fastavro.parse_schema(beginning(json.loads(json.loads(answer.read())["schema"])))


def beginning(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """Return the schema of the first two fields of an envelope: `before` and `after`.

    Avro writes fields in order and without names, so the fields after them need not be read.
    """
    if not isinstance(schema, dict) or "fields" not in schema:
        return schema
    names = [field["name"] for field in schema["fields"]]
    if names[:2] != ["before", "after"]:
        return schema
    return {**schema, "fields": schema["fields"][:2]}


class Tally:
    """The events so far; subclasses add them record by record."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._digests: Digests = {table: {} for table in tables.columns}
        self.offsets: dict[Partition, array[int]] = {}
        self.out_of_order = 0

    def differences(self) -> int:
        """Return the number of keys that are missing, surplus or different."""
        return sum(
            _differences(wanted, self._digests[table])
            for table, wanted in self._tables.digests.items()
        )

    def _note(self, message: Message) -> str:
        """Keep the offset of a record; return its topic."""
        partition = message.topic() or "", message.partition() or 0
        offsets = self.offsets.get(partition)
        if offsets is None:
            offsets = self.offsets[partition] = array("q")
        offsets.append(message.offset() or 0)
        return partition[0]


class RowTally(Tally):
    """The events of tables."""

    def __init__(self, tables: Tables, version: str | None) -> None:
        super().__init__(tables)
        self._version = version
        self._versions: dict[Any, int] = {}  # of the one table that has them

    def add(self, message: Message, decode: Callable[[bytes], Any]) -> None:
        """Add a record."""
        table = self._note(message).rpartition(".")[2]
        value = message.value()
        row = decode(value)["after"] if isinstance(value, bytes) else None
        if row is None:
            return
        columns = self._tables.columns[table]
        key, digests = row[columns[0]], self._digests[table]
        if self._version is None:
            self.out_of_order += key in digests
        else:
            self.out_of_order += row[self._version] <= self._versions.get(key, 0)
            self._versions[key] = row[self._version]
        digests[key] = hash(tuple([_plain(row.get(name)) for name in columns]))


class OutboxTally(Tally):
    """The events of an outbox: key, payload, and headers with the rest."""

    def __init__(self, tables: Tables, workload: Outbox) -> None:
        super().__init__(tables)
        self._workload = workload

    def add(self, message: Message, decode: Callable[[bytes], Any]) -> None:
        """Add a record."""
        topic = self._note(message)
        headers = dict(message.headers() or ())
        key, digests = _text(headers["id"]), self._digests["outbox"]
        self.out_of_order += key in digests
        row = (
            key,
            topic.rpartition(".")[2],
            _text(decode(_bytes(message.key()))),
            _payload(decode(_bytes(message.value())), self._workload),
        )
        digests[key] = hash(row)


def _payload(value: Any, workload: Outbox) -> str:  # noqa: ANN401 - text, or a record
    """Return a payload in one form: as text, or as the JSON of a record."""
    if not workload.avro:
        return _text(value)
    return json.dumps(json.loads(value) if isinstance(value, str) else value, sort_keys=True)


def _differences(wanted: dict[Any, int], found: dict[Any, int]) -> int:
    same = sum(wanted.get(key) == digest for key, digest in found.items())
    return max(len(wanted), len(found)) - same


def _messages(kafka: str, partitions: set[Partition]) -> Iterator[Message]:
    """Yield every committed record up to the last stable offset of each partition."""
    consumer = Consumer({
        "bootstrap.servers": kafka, "group.id": "bench", "enable.auto.commit": False,
        "isolation.level": "read_committed", "enable.partition.eof": True,
        "auto.offset.reset": "earliest", "fetch.message.max.bytes": 8_000_000,
        "queued.max.messages.kbytes": 65_536,
    })  # fmt: skip
    consumer.assign([TopicPartition(*partition, 0) for partition in partitions])
    unread, last = set(partitions), time.monotonic()
    while unread and time.monotonic() - last < _IDLE_SECONDS:
        for message in consumer.consume(_RECORDS, _POLL_SECONDS):
            last = time.monotonic()
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
                unread.discard((message.topic() or "", message.partition() or 0))
    consumer.close()


def _select(workload: Workload, table: str) -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, workload.compared))
    return sql.SQL("SELECT {} FROM {}").format(
        columns if workload.compared else sql.SQL("*"), sql.Identifier(table)
    )


def _plain(value: Any) -> Any:  # noqa: ANN401 - a column's value
    """Return a value in one form for all contenders: Debezium sends times as ISO text."""
    if isinstance(value, str) and value[-1:] == "Z" and value[4:5] == "-":
        return datetime.fromisoformat(value)
    return str(value) if isinstance(value, UUID) else value


def _bytes(value: str | bytes | None) -> bytes:
    return value if isinstance(value, bytes) else b""


def _text(value: Any) -> str:  # noqa: ANN401 - text or bytes
    return value.decode() if isinstance(value, bytes) else str(value)
