"""The hints about limits, quotas and policies of the brokers work when they are followed."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance import policy
from tests.acceptance.brokers import alter
from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.obeying import Person, set_key
from tests.acceptance.own_postgres import ITEMS, halt_of, published_ids
from tests.topics import make_topic
from tests.waiting import await_true

_RANDOM = "(SELECT string_agg(md5(k::text), '') FROM generate_series(1, %d) k)"
"""Text of 32 bytes each that no compression makes much shorter."""
_ONE_REPLICA = '[topics.config]\n"min.insync.replicas" = "1"\n'


class _StrictBroker(KafkaBroker):
    """A broker that takes short requests, waits for two replicas, and has a policy for topics."""

    def _java(self) -> list[str | Path]:
        *options, class_path = super()._java()
        return [*options, f"{class_path}:{self._folder}"]


@pytest.fixture(scope="module")
def strict() -> Iterator[KafkaBroker]:
    """Yield such a broker."""
    broker = _StrictBroker(
        properties={
            "socket.request.max.bytes": "300000",
            "min.insync.replicas": "2",
            "create.topic.policy.class.name": policy.NAME,
            "transaction.state.log.num.partitions": "2",
            "offsets.topic.num.partitions": "2",
        }
    )
    policy.write_class(broker.data_folder.parent)
    with broker:
        yield broker


@pytest.fixture
def make_person(
    make_service: Callable[..., Service], strict: KafkaBroker, postgres: PostgresServer
) -> Callable[..., Person]:
    """Make persons whose services have a table `items`."""

    def make(more: str = _ONE_REPLICA, **replaced: str) -> Person:
        service = make_service(
            TABLES + MARKS + more, **{"partitions = 3": "partitions = 2"}, **replaced
        )
        service.reconfigure(service.kafka, strict.bootstrap_servers)
        service.kafka = strict.bootstrap_servers
        service.sql(*ITEMS)
        return Person(service, strict, postgres)

    return make


def test_after_the_hint_about_a_policy_it_runs(make_person: Callable[..., Person]) -> None:
    person = make_person()
    person.service.reconfigure("partitions = 2", "partitions = 3")
    error = person.start()
    assert error
    assert error["code"] == "CDC-402"
    assert "change [topics] as the message says" in error["hint"]
    (most,) = re.findall(r"at most (\d) partitions", error["fact"])
    config = person.service.sidecar.config
    config.write_text(set_key(config.read_text(), "topics", "partitions", most))
    assert person.start_and_obey() == []


def test_after_the_hint_about_replicas_that_the_brokers_want_it_runs(
    make_person: Callable[..., Person],
) -> None:
    person = make_person("")
    (topic,) = person.service.topics("items")
    make_topic(person.service.kafka, topic)
    assert person.start_and_obey() == ["CDC-405"]


def test_after_the_hint_about_the_rate_of_new_topics_it_runs(
    make_person: Callable[..., Person], strict: KafkaBroker
) -> None:
    person = make_person(_ONE_REPLICA + '[kafka.client]\n"client.id" = "new"\n')
    alter(strict, "clients", "new", "controller_mutation_rate=0.01")
    sidecar = person.service.sidecar
    sidecar.start()
    await_true(lambda: sidecar.events("session_ended"), deadline=60, what="the quota is met")
    (ended, *_) = sidecar.events("session_ended")
    assert "a quota delays the client" in ended["fact"]
    (quota,) = re.findall(r"raise the quota of the client: (\w+)", ended["hint"])
    alter(strict, "clients", "new", f"{quota}=100")
    sidecar.await_phase("streaming", deadline=90)


def test_after_the_hint_about_the_rate_of_records_it_runs(
    make_person: Callable[..., Person], strict: KafkaBroker
) -> None:
    person = make_person(
        _ONE_REPLICA + '[kafka.client]\n"client.id" = "slow"\n', **{'"30s"': '"4s"'}
    )
    service = person.service
    alter(strict, "clients", "slow", "producer_byte_rate=1000")
    assert person.start() is None
    service.sql(f"INSERT INTO items SELECT n, n, {_RANDOM % 4000} FROM generate_series(1, 20) n")
    halt = halt_of(service.sidecar, deadline=90)
    (quota,) = re.findall(r"raise the (\w+) or", halt["hint"])
    alter(strict, "clients", "slow", f"{quota}=100000000")
    assert person.start_and_obey() == []
    assert published_ids(service) == list(range(1, 21))


def test_after_the_hint_about_the_length_of_a_request_it_runs(
    make_person: Callable[..., Person], strict: KafkaBroker
) -> None:
    person = make_person()
    service = person.service
    assert person.start() is None
    service.sql(f"INSERT INTO items VALUES (1, 1, {_RANDOM % 12000})")
    halt = halt_of(service.sidecar)
    assert halt["code"] == "CDC-302"
    setting = r"raise (socket\.request\.max\.bytes) of the brokers to at least (\d+)"
    ((name, least),) = re.findall(setting, halt["hint"])
    strict.stop()
    strict.properties[name] = least
    strict.start()
    assert person.start_and_obey() == []
    assert published_ids(service) == [1]
