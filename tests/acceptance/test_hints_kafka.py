"""The hints of errors about Kafka work when they are followed to the letter."""

import re
from collections.abc import Callable, Mapping

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.cimpl import NewTopic

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.obeying import Person
from tests.acceptance.own_postgres import ITEMS, published_ids
from tests.topics import make_topics
from tests.waiting import await_true

_RANDOM = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 200) n)"  # 6,400 bytes


def _make_topics(
    kafka: KafkaBroker, topics: Mapping[str, Mapping[str, str]], partitions: int = 1
) -> None:
    new = [NewTopic(name, partitions, 1, config=dict(config)) for name, config in topics.items()]
    make_topics(kafka.bootstrap_servers, *new)


@pytest.fixture
def make_person(
    make_service: Callable[..., Service], kafka: KafkaBroker, postgres: PostgresServer
) -> Callable[..., Person]:
    """Make persons whose services have a table `items`."""

    def make(more: str = TABLES, **replaced: str) -> Person:
        service = make_service(MARKS + more, **replaced)
        service.sql(*ITEMS)
        return Person(service, kafka, postgres)

    return make


def test_after_the_hints_about_settings_and_missing_topics_it_runs(
    make_person: Callable[..., Person], kafka: KafkaBroker
) -> None:
    person = make_person(
        **{
            "[publish]": '[kafka.client]\n"compression.type" = "zip"\n[publish]',
            'transaction_timeout = "30s"': 'transaction_timeout = "2h"',
            "create = true": "create = false",
            "replication_factor = 1": "replication_factor = 3",
        }
    )
    position = f"_cdc.{person.service.name}.position"
    _make_topics(kafka, {position: {"cleanup.policy": "compact"}}, partitions=2)
    codes = sorted(person.start_and_obey())
    assert codes == ["CDC-402", "CDC-402", "CDC-403", "CDC-404", "CDC-405"]


def test_after_the_hints_about_topics_that_do_not_fit_it_runs(
    make_person: Callable[..., Person], kafka: KafkaBroker
) -> None:
    person = make_person(f'{TABLES}truncate = "event"\n')
    service = person.service
    (topic,) = service.topics("items")
    internal = f"_cdc.{service.name}"
    _make_topics(
        kafka,
        {
            f"{internal}.position": {"cleanup.policy": "delete"},
            f"{internal}.schemas": {"cleanup.policy": "compact", "max.message.bytes": "200"},
            topic: {"cleanup.policy": "compact", "max.message.bytes": "5000"},
            f"{service.name}.message": {"min.insync.replicas": "2"},
        },
    )
    assert person.start_and_obey() == ["CDC-405"] * 4
    service.sql(f"INSERT INTO items VALUES (1, 1, {_RANDOM})")
    assert person.obey_halt() == "CDC-302"
    assert person.start_and_obey() == []
    assert published_ids(service) == [1]


def test_after_the_other_producer_is_stopped_it_runs(make_person: Callable[..., Person]) -> None:
    person = make_person()
    sidecar = person.service.sidecar
    assert person.start() is None
    transactional_id = f"cdc.{person.service.name}.{person.service.name}_cdc"
    rival = {"bootstrap.servers": person.service.kafka, "transactional.id": transactional_id}

    def fenced_too_often() -> bool:
        if sidecar.process.poll() is None:
            _fence(rival)
            person.service.sql("SELECT pg_logical_emit_message(true, 'mark', 'x')")
        return sidecar.process.poll() is not None

    await_true(fenced_too_often, deadline=60, what="it gave up")
    assert sidecar.await_exit() == 4
    error = person.error(sidecar.log_text())
    assert error["code"] == "CDC-410"
    assert "stop the other producer" in error["hint"]  # it is: nothing fences any more
    assert "CDC-407" in {ended["code"] for ended in sidecar.events("session_ended")}
    assert person.start_and_obey() == []


def _fence(settings: dict[str, str]) -> None:
    try:
        Producer(settings).init_transactions(10)
    except KafkaException:  # the sidecar has fenced this producer in turn
        return


def test_after_the_hint_about_a_foreign_record_in_the_schemas_topic_it_runs(
    make_person: Callable[..., Person],
) -> None:
    person = make_person()
    service = person.service
    assert person.start_and_obey() == []
    assert service.sidecar.terminate() == 0
    foreign = Producer({"bootstrap.servers": service.kafka})
    topic = f"_cdc.{service.name}.schemas"
    foreign.produce(topic, "anything", "a/key")
    foreign.produce(topic, "not a topic", "topic/none")
    assert foreign.flush(10) == 0
    codes = []
    while error := person.start():
        codes.append(error["code"])
        (key,) = re.findall(r"record with key b'(\S+)' is malformed", error["fact"])
        assert "write one with the same key and without a value to the topic" in error["hint"]
        foreign.produce(topic, None, key)
        assert foreign.flush(10) == 0
    assert codes == ["CDC-408", "CDC-408"]
    service.await_published()
    assert service.sidecar.terminate() == 0
    assert service.sidecar.run("teardown", "--yes").returncode == 0
