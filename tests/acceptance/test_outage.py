"""While Kafka is away memory is flat and Postgres can stop; then all is published (B7, B57)."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.brokers import QUICK, service_on, written_meanwhile
from tests.acceptance.conftest import Service, Services, services_in
from tests.acceptance.events import Oracle
from tests.acceptance.own_postgres import (
    ITEMS,
    ask,
    metric,
    slot_column,
)
from tests.effort import LONG
from tests.waiting import await_true

pytestmark = pytest.mark.usefixtures("fresh_processes")

OUTAGE = 600.0 if LONG else 15.0  # seconds: in the short one all queues are full for a while
ROW_BYTES = 5000  # so that few rows fill the queues
_WRITE = (
    "WITH last AS (SELECT coalesce(max(id), 0) id FROM items)"
    f" INSERT INTO items SELECT id + n, n, repeat('x', {ROW_BYTES})"
    " FROM last, generate_series(1, 10) n"
)
_WIDE = "repeat('x', 20000)"
_PAUSE = 0.01 if LONG else 0.02  # seconds between two such transactions
_GROWTH_ALLOWED = 40_000_000  # bytes of memory beyond that before the outage
_MEMORY_ALLOWED = 150_000_000  # bytes that are promised
_NOTICED_WITHIN = 3 * 3.0  # seconds: three times the promised ones


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaBroker]:
    """Start one broker for all tests."""
    with KafkaBroker(properties=QUICK) as started:
        yield started


@pytest.fixture
def own_kafka(broker: KafkaBroker) -> KafkaBroker:
    """Yield a running broker that a test can kill."""
    return broker if broker.is_running() else broker.start()


class Watch:
    """The conditions that must hold throughout an outage of Kafka."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._walsender = slot_column(service, "active_pid")
        self._began = time.monotonic()
        self._looked = 0.0
        self.before = self.peak = self._memory()
        self.peak_away = 0

    def is_over(self) -> bool:
        """Check the conditions; return whether the outage has lasted long enough."""
        self.peak_away = self.peak
        now = time.monotonic()
        if now - self._looked > 0.5:
            self._looked = now
            self._look(noticed=now - self._began > _NOTICED_WITHIN)
        return now - self._began > OUTAGE

    def measured(self) -> float:
        """Add the memory to the samples; return the position."""
        self.peak = max(self.peak, self._memory())
        return metric(self._service.sidecar, "position_lsn_bytes")

    def _look(self, *, noticed: bool) -> None:
        sidecar = self._service.sidecar
        self.measured()
        assert slot_column(self._service, "active_pid") == self._walsender, sidecar.log_text()
        assert sidecar.get("/livez")[0] == 200
        assert sidecar.get("/readyz")[0] == 503 or not noticed
        assert sidecar.get("/metrics")[0] == 200

    def _memory(self) -> int:
        text = Path(f"/proc/{self._service.sidecar.process.pid}/status").read_text()
        (line,) = (line for line in text.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


def test_an_outage_of_kafka_is_sat_out_in_little_memory_and_caught_up(
    own_kafka: KafkaBroker, make_service: Callable[..., Service]
) -> None:
    service = service_on(own_kafka.bootstrap_servers, make_service, timeout="5s")
    service.sidecar.start_and_stream()
    service.sql(_WRITE.replace("(1, 10)", "(1, 1000)"))
    with written_meanwhile(service, _WRITE, _PAUSE):
        service.await_published()
        watch = Watch(service)
        own_kafka.kill()
        before = _rows(service)
        await_true(watch.is_over, deadline=OUTAGE + 30, what="the outage is over")
        written = _rows(service) - before
        own_kafka.start()
        returned = time.monotonic()
        goal = service.current_lsn()
        await_true(lambda: watch.measured() >= goal, deadline=60 + OUTAGE, what="all is caught up")
        caught_up = time.monotonic() - returned
    service.await_published()
    _assert_each_once(service)
    print(
        f"{OUTAGE:.0f} s without Kafka, {written * ROW_BYTES / OUTAGE / 1e6:.1f} MB/s written;"
        f" memory {watch.before / 1e6:.0f} MB, then at most {watch.peak_away / 1e6:.0f} MB,"
        f" and {watch.peak / 1e6:.0f} MB while it caught up;"
        f" caught up {caught_up:.1f} s after Kafka's return"
    )
    assert watch.peak_away - watch.before < _GROWTH_ALLOWED
    assert watch.peak < _MEMORY_ALLOWED


def _rows(service: Service) -> int:
    return int(str(ask(service.dsn, "SELECT count(*) FROM items")))


def _assert_each_once(service: Service) -> None:
    """Check that the topic holds one event for each row. All rows were only inserted."""
    keys = Counter(_keys(service.kafka, *service.topics("items")))
    repeated = keys.total() - len(keys)
    assert (len(keys), repeated) == (_rows(service), 0)


def _keys(kafka: str, topic: str) -> Iterator[bytes]:
    """Yield the keys of a topic of any size as a consumer sees them."""
    consumer = Consumer({
        "bootstrap.servers": kafka, "group.id": "tests", "enable.auto.commit": False,
        "isolation.level": "read_committed", "enable.partition.eof": True,
    })  # fmt: skip
    unread = set(consumer.list_topics(topic, timeout=20).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, 0) for number in unread])
    while unread:
        message = consumer.poll(20.0)
        assert message is not None, "the broker does not answer"
        error = message.error()
        if error is None:
            yield bytes(message.key() or b"")
        else:
            assert error.code() == KafkaError._PARTITION_EOF, error.str()  # noqa: SLF001 - its name
            unread.discard(message.partition())
    consumer.close()


@pytest.fixture
def services(tmp_path: Path, own_kafka: KafkaBroker) -> Iterator[Services]:
    """Make services on the servers of a single test."""
    yield from services_in(tmp_path, own_kafka)


_SMALL = {
    "CDC_SIDECAR__PUBLISH__TRANSACTION_TIMEOUT": '"5s"',
    "CDC_SIDECAR__PUBLISH__MAX_QUEUE_BYTES": '"1MB"',
}
_WALSENDERS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'"
_HELD_BACK = f"{_WALSENDERS} AND wait_event = 'WalSenderWriteData'"


def test_postgres_stops_at_once_while_kafka_is_away_and_nothing_is_lost(
    own_kafka: KafkaBroker, services: Services
) -> None:
    """Covers a quiet stream and one with a full queue, then two sessions that wait to begin."""
    with PostgresServer(fsync=False) as postgres:
        rows = {"quiet": 1, "full": 1000}
        both = {name: services(postgres, name) for name in rows}
        for service in both.values():
            service.sql(*ITEMS)
            service.sidecar.start(environment=_SMALL)
        oracles = {name: _oracle_of_a_stream(service) for name, service in both.items()}
        own_kafka.kill()
        for name, service in both.items():
            numbers = range(1, rows[name] + 1)
            service.sql(*(f"INSERT INTO items VALUES ({n}, 0, {_WIDE})" for n in numbers))
        await_true(lambda: not any(map(_is_ready, both.values())), what="readyz red")
        await_true(lambda: ask(postgres.dsn(), _HELD_BACK), what="a stream held back")
        for _ in range(2):
            _stop_and_start(postgres, len(both))
        own_kafka.start()
        for name, service in both.items():
            service.sidecar.await_phase("streaming", deadline=90)
            service.await_published()
            assert service.assert_exactly_once(oracles[name], "items") == rows[name]


def _is_ready(service: Service) -> bool:
    return service.sidecar.get("/readyz")[0] == 200


def _oracle_of_a_stream(service: Service) -> Oracle:
    service.sidecar.await_phase("streaming")
    return service.oracle()


def _stop_and_start(postgres: PostgresServer, walsenders: int) -> None:
    """Stop Postgres in three times the promised time; start it and wait for the sidecars."""
    began = time.monotonic()
    postgres.stop("fast", seconds=3 * 2.0)
    print(f"Postgres stopped within {time.monotonic() - began:.1f} s")
    postgres.start()
    await_true(
        lambda: ask(postgres.dsn(), _WALSENDERS) == walsenders, deadline=60, what="both are back"
    )
