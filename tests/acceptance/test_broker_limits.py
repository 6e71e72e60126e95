"""A record meets many limits on its way: it is published, or the limit is named; nothing loops."""

from collections.abc import Callable, Iterator

import pytest

from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.brokers import alter
from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.own_postgres import ITEMS, halt_of, published_ids
from tests.topics import make_topic
from tests.waiting import await_true

_REQUEST = 300_000  # bytes
_RANDOM = "(SELECT string_agg(md5(k::text), '') FROM generate_series(1, %d) k)"
"""Text of 32 bytes each that no compression makes much shorter."""


@pytest.fixture(scope="module")
def narrow() -> Iterator[KafkaBroker]:
    """Yield a broker that takes only short requests."""
    with KafkaBroker(properties={"socket.request.max.bytes": str(_REQUEST)}) as broker:
        yield broker


def _service(make_service: Callable[..., Service], broker: KafkaBroker, more: str = "") -> Service:
    service = make_service(TABLES + MARKS + more, **{'"30s"': '"4s"'})
    config = service.sidecar.config
    config.write_text(config.read_text().replace(service.kafka, broker.bootstrap_servers))
    service.kafka = broker.bootstrap_servers
    service.sql(*ITEMS)
    return service


def test_a_record_larger_than_the_usual_queue_is_published_if_its_topic_takes_it(
    make_service: Callable[..., Service],
) -> None:
    """The client's usual queue takes 32 MB; the row is longer."""
    service = make_service(TABLES + MARKS)
    service.sql(*ITEMS)
    (topic,) = service.topics("items")
    make_topic(service.kafka, topic, settings={"max.message.bytes": "50000000"})
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 1, repeat('x', 35000000))")
    service.await_published()
    assert published_ids(service) == [1]
    assert not service.sidecar.events("session_ended")


def test_a_row_longer_than_a_request_halts_with_the_brokers_setting(
    make_service: Callable[..., Service], narrow: KafkaBroker
) -> None:
    service = _service(make_service, narrow)
    service.sidecar.start_and_stream()
    service.sql(
        f"INSERT INTO items VALUES (1, 1, {_RANDOM % 8000})",
        f"INSERT INTO items VALUES (2, 2, {_RANDOM % 12000})",
    )
    halt = halt_of(service.sidecar)
    assert halt["code"] == "CDC-302"
    assert "raise socket.request.max.bytes of the brokers" in halt["hint"]
    assert not service.sidecar.events("session_ended")


def test_a_position_topic_that_is_too_narrow_halts_with_its_setting(
    make_service: Callable[..., Service], narrow: KafkaBroker
) -> None:
    service = _service(make_service, narrow)
    name = f"_cdc.{service.name}.position"
    make_topic(
        service.kafka, name, settings={"cleanup.policy": "compact", "max.message.bytes": "200"}
    )
    service.sidecar.start()
    halt = halt_of(service.sidecar)
    assert halt["code"] == "CDC-405"
    assert name in halt["fact"]
    assert "max.message.bytes" in halt["cause"]


def test_a_limit_that_is_lowered_while_a_transaction_is_open_halts_with_the_topic(
    make_service: Callable[..., Service], narrow: KafkaBroker
) -> None:
    service = _service(make_service, narrow)
    (topic,) = service.topics("items")
    service.sidecar.start_and_stream()
    alter(narrow, "topics", topic, "max.message.bytes=1000")
    service.sql(f"INSERT INTO items VALUES (1, 1, {_RANDOM % 100})")
    halt = halt_of(service.sidecar)
    assert halt["code"] == "CDC-302"
    assert f"max.message.bytes of topic {topic}" in halt["hint"]
    assert [each["code"] for each in service.sidecar.events("session_ended")] == ["CDC-406"]
    assert topic in service.sidecar.events("session_ended")[0]["fact"]


def test_a_quota_that_no_transaction_meets_is_named_and_halts(
    make_service: Callable[..., Service], narrow: KafkaBroker
) -> None:
    service = _service(make_service, narrow, '[kafka.client]\n"client.id" = "slow"\n')
    alter(narrow, "clients", "slow", "producer_byte_rate=1000")
    service.sidecar.start_and_stream()
    service.sql(f"INSERT INTO items SELECT n, n, {_RANDOM % 4000} FROM generate_series(1, 20) n")
    await_true(lambda: service.sidecar.events("session_ended"), deadline=60, what="it gave up")
    halt = halt_of(service.sidecar, deadline=90)
    assert halt["code"] == "CDC-402"
    assert "quota" in halt["fact"]
    assert "producer_byte_rate" in halt["hint"]
