"""A sidecar continues the topics of Debezium's connector: docs/how-to/migrate-from-debezium.md."""

import json
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from benchmarks.debezium import Connect, Registry
from benchmarks.downloads import connect_class_path
from cdc_sidecar.events.reader import EventReader
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.conftest import MARKS, Service, service_maker
from tests.acceptance.events import read_topics
from tests.interop.source import PUBLICATION, SLOT, Source
from tests.waiting import await_true

_TABLES = '\n[[tables]]\nname = "public.orders"\ncolumns = ["*"]\n'
_AS_DEBEZIUM = '[tables.column.placed_at]\nas = "iso"\n'
_COPY = "SELECT pg_copy_logical_replication_slot(%s, %s)"
_PEEK = (
    "SELECT xid::text::bigint, lsn - '0/0', chr(get_byte(data, 0)), lsn::text"
    " FROM pg_logical_slot_peek_binary_changes(%s, NULL, 1000,"
    " 'proto_version', '1', 'publication_names', %s)"
)


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    """Yield the schema registry of Debezium's converter."""
    with Registry() as server:
        yield server


@pytest.fixture(scope="module")
def connect(kafka: KafkaBroker, registry: Registry) -> Iterator[Connect]:
    """Yield a worker of Kafka Connect with Debezium."""
    with Connect(kafka, registry.url, connect_class_path()) as worker:
        yield worker


@pytest.fixture
def make_service(
    database: str, kafka: KafkaBroker, tmp_path: Path
) -> Iterator[Callable[..., Service]]:
    """Make services on one database."""
    with service_maker(database, kafka.bootstrap_servers, tmp_path) as make:
        yield make


@dataclass(frozen=True)
class Seen:
    """An event, whoever has written it."""

    row: int
    place: tuple[int, int]  # transaction and LSN of the change
    by_sidecar: bool


class Shop:
    """A service whose orders Debezium publishes, and then the sidecar."""

    def __init__(self, service: Service, registry: Registry) -> None:
        self.service = service
        self._registry = registry.url
        self._ours = Subjects()
        self._topic = f"_cdc.{service.name}.schemas"
        self._ids = iter(range(1, 10**6))
        service.sql(
            "CREATE TABLE orders (id bigint PRIMARY KEY, status text NOT NULL,"
            " total numeric(10,2), placed_at timestamptz)",
            "INSERT INTO orders SELECT -n, 'old', 1, now() FROM generate_series(1, 100) n",
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write two rows a transaction while the block runs."""
        ended = threading.Event()

        def write() -> None:
            with psycopg.connect(self.service.dsn, autocommit=True) as connection:
                while not ended.wait(0.002):
                    rows = f"({next(self._ids)}), ({next(self._ids)})"
                    text = (
                        f"INSERT INTO orders SELECT n, 'new', 2.5, now() FROM (VALUES {rows}) r(n)"
                    )
                    connection.execute(text.encode())

        writer = threading.Thread(target=write)
        writer.start()
        try:
            yield
        finally:
            ended.set()
            writer.join()

    def records(self) -> list[tuple[bytes | None, bytes | None]]:
        """Return key and value of every committed record of the topic, in order."""
        places = read_topics(self.service.kafka, self.service.topics("orders"))
        return [(key, value) for records in places.values() for key, value, _ in records]

    def await_more(self, number: int) -> None:
        """Wait until so many further records are committed."""
        self.await_records(len(self.records()) + number)

    def await_records(self, number: int) -> None:
        """Wait until the topic has so many committed records."""
        await_true(lambda: len(self.records()) >= number, deadline=90, what=f"{number} records")

    def rows(self) -> set[int]:
        """Return the keys in the table."""
        with psycopg.connect(self.service.dsn) as connection:
            return {number for (number,) in connection.execute("SELECT id FROM orders")}

    def events(self) -> list[Seen]:
        """Return every event of the topic, in order, with the schemas of both registries."""
        reader = EventReader(self._schema)
        values = (reader.read(value) for _, value in self.records() if value is not None)
        return [
            Seen(
                event["after"]["id"],
                (event["source"]["txId"], event["source"]["lsn"]),
                "commit_lsn" in event["source"],
            )
            for event in values
        ]

    def _schema(self, number: int) -> str | None:
        if self._ours.schema(number) is None:
            for records in read_topics(self.service.kafka, [self._topic]).values():
                for key, value, _ in records:
                    self._ours.load(key or b"", value or b"")
        return self._ours.schema(number) or self._theirs(number)

    def _theirs(self, number: int) -> str:
        url = f"{self._registry}/schemas/ids/{number}"
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - on this machine
            return str(json.load(answer)["schema"])

    def slot_is_free(self) -> bool:
        """Return whether Debezium has let go of its slot."""
        with psycopg.connect(self.service.dsn) as connection:
            query = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
            return connection.execute(query, (SLOT,)).fetchone() == (False,)

    def copy_slot(self, slot: str) -> None:
        """Copy Debezium's slot, which stays as it is."""
        with psycopg.connect(self.service.dsn, autocommit=True) as connection:
            connection.execute(_COPY, (SLOT, slot))

    def skip_published(self, slot: str, last: tuple[int, int]) -> None:
        """Advance a slot behind the transaction whose last event Debezium has published."""
        transaction, change = last
        with psycopg.connect(self.service.dsn, autocommit=True) as connection:
            found = connection.execute(_PEEK, (slot, PUBLICATION)).fetchall()
            of_it = [row for row in found if row[0] == transaction]
            assert [int(row[1]) for row in of_it if row[2] in "IUD"][-1] == change
            end = of_it[-1][3]
            connection.execute("SELECT pg_replication_slot_advance(%s, %s)", (slot, end))


@pytest.fixture
def shop(make_service: Callable[..., Service], registry: Registry) -> Shop:
    """Return a shop whose sidecar has the names of Debezium's connector, and never ran."""
    service = make_service(
        _TABLES + _AS_DEBEZIUM + MARKS,
        **{
            'publication = "cdc"': f'publication = "{PUBLICATION}"',
            "create_slot = true": "create_slot = false",
        },
    )
    return Shop(service, registry)


def _repeated(events: list[Seen]) -> set[int]:
    counted = Counter(event.row for event in events)
    return {row for row, number in counted.items() if number > 1}


def _hand_over(shop: Shop, source: Source) -> dict[str, int]:
    """Let Debezium publish, stop it while rows are written, and copy its slot."""
    source.start()
    shop.await_more(1000)
    checked = shop.service.sidecar.run("check").stdout
    assert "CDC-204" in checked
    assert "1 fault\n" in checked
    source.stop()
    await_true(shop.slot_is_free, deadline=60, what="Debezium has stopped")
    shop.copy_slot(f"{shop.service.name}_cdc")
    return source.offset()


def test_the_sidecar_continues_the_topics_of_debezium_and_the_step_can_be_undone(
    shop: Shop, connect: Connect
) -> None:
    service, source = shop.service, Source(connect, shop.service.name, shop.service.dsn)
    with shop.writing():
        offset = _hand_over(shop, source)
        service.sidecar.start_and_stream("--bootstrap")
        shop.await_more(200)
    service.await_published()
    events = shop.events()
    assert {event.row for event in events} == shop.rows()
    again = [event for event in events if event.row in _repeated(events)]
    assert {event.place[0] for event in again} <= {offset["txId"]}
    places = {kind: {e.place for e in again if e.by_sidecar is kind} for kind in (True, False)}
    assert places[True] == places[False]
    assert service.sidecar.terminate() == 0
    repeated = sum(event.by_sidecar for event in events) - len(places[True])
    source.resume()
    shop.await_records(len(events) + repeated)
    assert {event.row for event in shop.events()} == shop.rows()
    source.stop()
    removed = service.sidecar.run("teardown", "--yes")
    assert removed.returncode == 0, removed.stdout + removed.stderr
    assert {event.row for event in shop.events()} == shop.rows()


def test_no_event_is_repeated_if_the_slot_is_advanced_behind_the_last_transaction(
    shop: Shop, connect: Connect
) -> None:
    service, source = shop.service, Source(connect, shop.service.name, shop.service.dsn)
    with shop.writing():
        offset = _hand_over(shop, source)
        slot = f"{service.name}_cdc"
        shop.skip_published(slot, (offset["txId"], offset["lsn_proc"]))
        service.sidecar.start_and_stream("--bootstrap")
        shop.await_more(200)
    service.await_published()
    events = shop.events()
    assert sorted(event.row for event in events) == sorted(shop.rows())
    assert any(event.by_sidecar for event in events)
    source.stop()
