"""A broker that is killed, frozen or cut off loses and repeats nothing (B7, B8, I8)."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.brokers import QUICK, broker_behind_wire, insert, service_on, timed
from tests.acceptance.conftest import Service
from tests.acceptance.wire import Api, Cut, Wire
from tests.waiting import await_true

_AT_START = (Api.INIT_PRODUCER_ID, Api.FETCH, Api.FIND_COORDINATOR, Api.METADATA)
"""Requests that are sent for certain only when a session begins."""


@pytest.fixture
def own_kafka() -> Iterator[KafkaBroker]:
    """Yield a broker that a test can kill."""
    with KafkaBroker(properties=QUICK) as broker:
        yield broker


def test_a_broker_killed_and_started_again_is_waited_for(
    own_kafka: KafkaBroker, make_service: Callable[..., Service]
) -> None:
    service = service_on(own_kafka.bootstrap_servers, make_service)
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    insert(service, 0)
    own_kafka.kill()
    insert(service, 1000)
    await_true(lambda: service.sidecar.get("/readyz")[0] == 503, what="readyz red")
    assert service.sidecar.get("/livez")[0] == 200
    insert(service, 2000)
    own_kafka.start()
    with timed("broker killed: after its return"):
        service.sidecar.await_phase("streaming", deadline=90)
        insert(service, 3000)
        service.await_published(deadline=90)
    assert service.assert_exactly_once(oracle, "items") == 200


def test_a_broker_frozen_for_longer_than_the_transaction_timeout_is_survived(
    own_kafka: KafkaBroker, make_service: Callable[..., Service]
) -> None:
    service = service_on(own_kafka.bootstrap_servers, make_service)
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    insert(service, 0)
    os.kill(own_kafka.pid, signal.SIGSTOP)
    insert(service, 1000)
    await_true(
        lambda: service.sidecar.events("transaction_aborted"), deadline=60, what="it gave up"
    )
    os.kill(own_kafka.pid, signal.SIGCONT)
    with timed("broker frozen: after its return"):
        service.sidecar.await_phase("streaming", deadline=90)
        insert(service, 2000)
        service.await_published(deadline=90)
    assert service.assert_exactly_once(oracle, "items") == 150


@pytest.mark.parametrize("api", Api, ids=lambda api: api.name.lower())
def test_the_wire_cut_at_a_request_loses_and_repeats_nothing(
    wired: tuple[KafkaBroker, Wire], make_service: Callable[..., Service], api: Api
) -> None:
    broker, wire = wired
    address = f"127.0.0.1:{wire.port}"
    service = service_on(broker.bootstrap_servers, make_service, seen_at=address)
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    rows = itertools.count(0, 1000)
    for cut in Cut:
        before = wire.cuts
        wire.arm(api, cut)
        if api in _AT_START:
            service.sidecar.kill()
            insert(service, next(rows))
            service.sidecar.start()
        insert(service, next(rows))
        await_true(lambda: not wire.armed, deadline=60, what=f"{api.name}: {cut.value}")
        assert wire.cuts == before + 1
        with timed(f"{api.name}, {cut.value}"):
            service.sidecar.await_phase("streaming", deadline=90)
            insert(service, next(rows))
            service.await_published(deadline=90)
    assert service.assert_exactly_once(oracle, "items") >= 400


@pytest.fixture(scope="module")
def wired() -> Iterator[tuple[KafkaBroker, Wire]]:
    """Yield a broker that the sidecar reaches through the proxy, and the tests directly."""
    with broker_behind_wire() as both:
        yield both
