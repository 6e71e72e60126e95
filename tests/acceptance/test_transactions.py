"""Outside events in an open Kafka transaction lose and repeat nothing."""

import signal
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaError

from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.brokers import broker_behind_wire, end_of, service_on
from tests.acceptance.conftest import Service
from tests.acceptance.control import assert_seen, start, stream_on
from tests.acceptance.sabotage import Rule
from tests.acceptance.wire import Api, Wire
from tests.waiting import await_true


@pytest.fixture(scope="module")
def wired() -> Iterator[tuple[KafkaBroker, Wire]]:
    """Yield a broker behind the proxy."""
    with broker_behind_wire() as both:
        yield both


@pytest.mark.parametrize("off", [False, True], ids=["rule_on", "rule_off"])
def test_an_end_of_a_transaction_that_arrives_during_the_next_cannot_commit_half_of_it(
    wired: tuple[KafkaBroker, Wire], make_service: Callable[..., Service], *, off: bool
) -> None:
    """Kafka 4.3 verifies partitions, but accepts a late EndTxn from a client of protocol 1.

    It has the producer and the epoch of the open transaction, so the broker cannot distinguish it
    from the right EndTxn. With a new epoch it can (I8).
    """
    broker, wire = wired
    address = f"127.0.0.1:{wire.port}"
    service = service_on(broker.bootstrap_servers, make_service, seen_at=address)
    sidecar, (topic,) = service.sidecar, service.topics("items")
    start(service, "after_produce#2=delay", *[Rule.DISPOSABLE_PRODUCER] * off)
    sidecar.await_phase("streaming")
    oracle = service.oracle()
    wire.hold(Api.END_TXN)
    service.sql("INSERT INTO items VALUES (1, 1, 'first')")
    await_true(lambda: sidecar.events("transaction_published"), what="the first was retried")
    if not off:
        await_true(lambda: sidecar.events("producer_replaced"), what="the producer was replaced")
        assert "cdc_sidecar_producer_recycles_total 1.0" in sidecar.scrape()
    end = end_of(service.kafka, topic, decided=True)
    service.sql("INSERT INTO items SELECT n, n, 'second' FROM generate_series(2, 31) n")
    await_true(
        lambda: end_of(service.kafka, topic, decided=False) >= end + 30,
        what="part of the second has reached the broker",
    )
    code = wire.release()
    sidecar.kill()
    print(f"the late EndTxn was answered with {code}")
    stream_on(service)
    if off:
        assert code == 0
        assert_seen(service, oracle, repeated=30)
    else:
        assert code in {KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}
        assert service.assert_exactly_once(oracle, "items") == 31


def test_a_transaction_that_the_broker_aborts_while_we_stand_still_is_published_by_a_new_session(
    wired: tuple[KafkaBroker, Wire], make_service: Callable[..., Service]
) -> None:
    """There is no rival: the broker's time-out causes the same error as a fence."""
    service = service_on(wired[0].bootstrap_servers, make_service, timeout="2s")
    sidecar, (topic,) = service.sidecar, service.topics("items")
    start(service, "after_produce=delay")
    sidecar.await_phase("streaming")
    oracle = service.oracle()
    service.sql("INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 30) n")
    await_true(lambda: end_of(service.kafka, topic, decided=False) == 30, what="all is delivered")
    before = len(sidecar.events("session_ended"))  # with requests of only 2 s the start may fail
    sidecar.process.send_signal(signal.SIGSTOP)
    await_true(
        lambda: end_of(service.kafka, topic, decided=True) > 30, what="the broker aborted it"
    )
    sidecar.process.send_signal(signal.SIGCONT)
    await_true(lambda: len(sidecar.events("session_ended")) > before, what="the session ended")
    sidecar.await_phase("streaming", deadline=60)
    service.await_published()
    assert service.assert_exactly_once(oracle, "items") == 30
    ended = sidecar.events("session_ended")
    assert [event["code"] for event in ended] == ["CDC-401"] * before + ["CDC-407"], ended
    assert "cdc_sidecar_producer_fences_total 1.0" in sidecar.scrape()
