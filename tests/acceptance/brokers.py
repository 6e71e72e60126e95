"""Brokers for a single test, and services that publish to them."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import psycopg
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.own_postgres import ITEMS
from tests.acceptance.wire import Wire
from tests.topics import delete_topics, topics_of
from tests.waiting import await_true

QUICK = {
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "4000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
}
"""Properties of a broker that notices soon who is gone."""
_LEADER_CHANGED = {
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError._NOENT,  # noqa: SLF001 - the code of a partition of a new topic without a leader
    KafkaError.OFFSET_NOT_AVAILABLE,  # the new leader does not know its high watermark yet
}
IMPATIENT = """
[kafka.client]
"socket.timeout.ms" = "1500"
"socket.connection.setup.timeout.ms" = "1500"
"reconnect.backoff.max.ms" = "500"
"""


def service_on(
    kafka: str,
    make_service: Callable[..., Service],
    *,
    seen_at: str | None = None,
    more: str = TABLES,
    timeout: str = "6s",
    **replaced: str,
) -> Service:
    """Return a service with table `items` on its own brokers.

    The sidecar reaches them at `seen_at` if that is another address than the tests'. It gives up
    on a request soon, and on a transaction after `timeout`.
    """
    service = make_service(more + MARKS + IMPATIENT, **{'"30s"': f'"{timeout}"', **replaced})
    config = service.sidecar.config
    config.write_text(config.read_text().replace(service.kafka, seen_at or kafka))
    service.kafka = kafka
    service.sql(*ITEMS)
    return service


@contextmanager
def broker_behind_wire(
    properties: Mapping[str, str] = QUICK,
) -> Iterator[tuple[KafkaBroker, Wire]]:
    """Start a broker that the sidecar reaches through the proxy, and the tests directly."""
    port, wired = free_port(), free_port()
    broker = KafkaBroker(properties=properties)
    broker.properties |= {
        "listeners": f"PLAINTEXT://127.0.0.1:{broker.port},WIRE://127.0.0.1:{wired},"
        f"CONTROLLER://127.0.0.1:{broker.controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker.port},WIRE://127.0.0.1:{port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,WIRE:PLAINTEXT",
    }
    with broker, Wire(wired, port) as wire:
        yield broker, wire


def remove_topics(kafka: str, prefix: str) -> None:
    """Remove the topics of other tests whose names begin so, which no service has to itself."""
    delete_topics(kafka, *(name for name in topics_of(kafka) if name.startswith(prefix)))


def alter(broker: KafkaBroker, kind: str, name: str, setting: str) -> None:
    """Change a setting of a topic or a quota of a client."""
    tool = [*broker.tool("kafka.admin.ConfigCommand"), "--alter", "--add-config", setting]
    where = ["--bootstrap-server", broker.bootstrap_servers, "--entity-type", kind]
    subprocess.run([*tool, *where, "--entity-name", name], check=True, capture_output=True)


def insert(service: Service, start: int, rows: int = 50) -> None:
    """Write rows in transactions of ten."""
    with psycopg.connect(service.dsn, autocommit=True) as connection:
        for first in range(start, start + rows, 10):
            connection.execute(
                "INSERT INTO items SELECT n, n, 'x' FROM generate_series(%s::int, %s::int) n",
                (first, first + 9),
            )


@contextmanager
def written_meanwhile(service: Service, statement: str, pause: float) -> Iterator[None]:
    """Run a statement every `pause` seconds; if it fails, the test fails."""
    stop, errors = threading.Event(), list[BaseException]()

    def write() -> None:
        try:
            with psycopg.connect(service.dsn, autocommit=True) as connection:
                while not stop.wait(pause):
                    connection.execute(statement.encode())
        except psycopg.Error as error:
            errors.append(error)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join(30)
    if errors:
        raise errors[0]


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print the time until everything was published again."""
    began = time.monotonic()
    yield
    print(f"{what}: published again within {time.monotonic() - began:.1f} s")


def end_of(kafka: str, topic: str, *, decided: bool) -> int:
    """Return the sum of the end offsets of a topic's partitions.

    It includes open transactions or ends at the last stable offsets. A broker that was just started
    may refuse the question for a moment, because a partition has a new leader.
    """
    ends: list[int] = []

    def answered() -> bool:
        try:
            ends.append(_end_now(kafka, topic, decided=decided))
        except KafkaException as error:
            if error.args[0].code() not in _LEADER_CHANGED:
                raise
        return bool(ends)

    await_true(answered, what=f"the end of {topic} is known")
    return ends[0]


def _end_now(kafka: str, topic: str, *, decided: bool) -> int:
    isolation = IsolationLevel.READ_COMMITTED if decided else IsolationLevel.READ_UNCOMMITTED
    admin = AdminClient({"bootstrap.servers": kafka})
    partitions = admin.list_topics(topic, timeout=20).topics[topic].partitions
    latest = {TopicPartition(topic, number): OffsetSpec.latest() for number in partitions}
    answers = admin.list_offsets(latest, isolation_level=isolation, request_timeout=20)
    return sum(int(answer.result().offset) for answer in answers.values())
