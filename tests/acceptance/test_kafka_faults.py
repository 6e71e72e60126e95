"""The broker killed, frozen, or its wire cut: nothing lost, nothing repeated (B7, B8, I8)."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator

import psycopg
import pytest

from cdc_sidecar.demo.servers import KafkaBroker, free_port
from tests.acceptance.conftest import TABLES, Service
from tests.acceptance.wire import Api, Cut, Wire
from tests.waiting import await_true

_MARKS = '[messages]\nprefixes = ["mark"]\n'
_AT_START = (Api.INIT_PRODUCER_ID, Api.FETCH, Api.FIND_COORDINATOR, Api.METADATA)
"""Requests that are sent for certain only when a session begins."""
_IMPATIENT = """
[kafka.client]
"socket.timeout.ms" = "1500"
"socket.connection.setup.timeout.ms" = "1500"
"reconnect.backoff.max.ms" = "500"
"""


@pytest.fixture
def own_kafka() -> Iterator[KafkaBroker]:
    """Give a broker that a test may kill."""
    properties = {
        "broker.session.timeout.ms": "2000",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    }
    with KafkaBroker(properties=properties) as broker:
        yield broker


def _service_on(
    broker: KafkaBroker, make_service: Callable[..., Service], port: int | None = None
) -> Service:
    service = make_service(TABLES + _MARKS + _IMPATIENT)
    config = service.sidecar.config
    address = f"127.0.0.1:{port or broker.port}"
    text = config.read_text().replace(service.kafka, address)
    config.write_text(text.replace('"30s"', '"6s"'))
    service.kafka = broker.bootstrap_servers
    service.sql(
        "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    return service


def _insert(service: Service, start: int, rows: int = 50) -> None:
    """Write rows in transactions of ten."""
    with psycopg.connect(service.dsn, autocommit=True) as connection:
        for first in range(start, start + rows, 10):
            connection.execute(
                "INSERT INTO items SELECT n, n, 'x' FROM generate_series(%s::int, %s::int) n",
                (first, first + 9),
            )


def test_a_broker_killed_and_started_again_is_waited_for(
    own_kafka: KafkaBroker, make_service: Callable[..., Service]
) -> None:
    service = _service_on(own_kafka, make_service)
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    _insert(service, 0)
    own_kafka.kill()
    _insert(service, 1000)
    await_true(lambda: service.sidecar.get("/readyz")[0] == 503, what="readyz red")
    assert service.sidecar.get("/livez")[0] == 200
    _insert(service, 2000)
    own_kafka.start()
    service.sidecar.await_phase("streaming", deadline=90)
    _insert(service, 3000)
    service.await_published(deadline=90)
    assert service.assert_exactly_once(oracle, "items") == 200


def test_a_broker_frozen_for_longer_than_the_transaction_timeout_is_survived(
    own_kafka: KafkaBroker, make_service: Callable[..., Service]
) -> None:
    service = _service_on(own_kafka, make_service)
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    _insert(service, 0)
    os.kill(own_kafka.pid, signal.SIGSTOP)
    _insert(service, 1000)
    await_true(
        lambda: service.sidecar.events("transaction_aborted"), deadline=60, what="it gave up"
    )
    os.kill(own_kafka.pid, signal.SIGCONT)
    service.sidecar.await_phase("streaming", deadline=90)
    _insert(service, 2000)
    service.await_published(deadline=90)
    assert service.assert_exactly_once(oracle, "items") == 150


@pytest.mark.parametrize("api", Api, ids=lambda api: api.name.lower())
def test_the_wire_cut_at_a_request_loses_and_repeats_nothing(
    own_kafka_behind: tuple[KafkaBroker, Wire], make_service: Callable[..., Service], api: Api
) -> None:
    broker, wire = own_kafka_behind
    service = _service_on(broker, make_service, wire.port)
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    rows = itertools.count(0, 1000)
    for cut in Cut:
        before = wire.cuts
        wire.arm(api, cut)
        if api in _AT_START:
            service.sidecar.kill()
            _insert(service, next(rows))
            service.sidecar.start()
        _insert(service, next(rows))
        await_true(lambda: not wire.armed, deadline=60, what=f"{api.name}: {cut.value}")
        assert wire.cuts == before + 1
        service.sidecar.await_phase("streaming", deadline=90)
        _insert(service, next(rows))
        service.await_published(deadline=90)
    assert service.assert_exactly_once(oracle, "items") >= 400


@pytest.fixture(scope="module")
def own_kafka_behind() -> Iterator[tuple[KafkaBroker, Wire]]:
    """Give a broker that is reached through the proxy, and directly by the tests."""
    port = free_port()
    broker = KafkaBroker()
    broker.properties |= {
        "listeners": f"PLAINTEXT://127.0.0.1:{broker.port},"
        f"WIRE://127.0.0.1:{(wired := free_port())},"
        f"CONTROLLER://127.0.0.1:{broker.controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker.port},WIRE://127.0.0.1:{port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,WIRE:PLAINTEXT",
    }
    with broker, Wire(wired, port) as wire:
        yield broker, wire
