"""What cannot work is refused with a hint; events that are gone stop the consumer."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from cdc_sidecar_client.consumer import (
    ConfigurationInvalid,
    Consumer,
    Event,
    OffsetLost,
    Policy,
    Retry,
    TablesMissing,
    Transaction,
)
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.client.running import Service, running


def _consumer(**changed: Any) -> Consumer:  # noqa: ANN401 - of Consumer
    given: dict[str, Any] = {
        "topics": ["t"],
        "bootstrap_servers": "x:1",
        "registry": "http://x",
        "database": "host=x",
    }
    return Consumer("g", **{**given, **changed})


@pytest.mark.parametrize(
    ("make", "fact"),
    [
        (lambda: _consumer(topics="orders"), "topics is not a list"),
        (lambda: _consumer(topics=[]), "topics is not a list"),
        (lambda: _consumer(registry="localhost:9464"), "is not a list of URLs"),
        (lambda: Policy(unknown="skip"), "unknown = 'skip'"),  # type: ignore[arg-type]
        (lambda: Policy(start="now"), "start = 'now'"),  # type: ignore[arg-type]
        (lambda: Policy(batch=0), "less than 1"),
        (lambda: Retry(attempts=0), "too small"),
        (lambda: _consumer().handler()(lambda _t, _e: None), "neither an event type nor a topic"),
        (lambda: _consumer().handler("A")(lambda _t: None), "too few arguments"),  # type: ignore[type-var]
        (lambda: _consumer(kafka={"isolation.level": "x"}).run(), "isolation.level must stay"),
    ],
)
def test_a_mistake_in_the_code_of_a_service_is_named(
    make: Callable[[], object], fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_sidecar_client.consumer.consumer.Session", _NoSession)
    with pytest.raises(ConfigurationInvalid, match=fact):
        make()


class _NoSession:
    """Makes the client of Kafka, and nothing else."""

    def __init__(self, member: Any) -> None:  # noqa: ANN401 - as the session
        member.kafka()


def test_a_second_handler_and_a_coroutine_are_refused() -> None:
    consumer = _consumer()

    @consumer.handler("A")
    def first(_transaction: Transaction, _event: Event[Any]) -> None:
        raise NotImplementedError

    with pytest.raises(ConfigurationInvalid, match="two handlers of A"):
        consumer.handler("A")(first)

    async def later(_transaction: Transaction, _event: Event[Any]) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ConfigurationInvalid, match="is a coroutine"):
        consumer.handler("B")(later)


def test_missing_tables_stop_the_consumer_with_the_command_that_prints_them(
    service: Service,
) -> None:
    with psycopg.connect(service.database, autocommit=True) as connection:
        connection.execute("DROP TABLE consumer_offsets")
    with pytest.raises(TablesMissing, match=r"python -m cdc_sidecar_client\.consumer schema-sql"):
        service.writing().run()


def test_events_that_kafka_deleted_before_they_were_read_stop_the_consumer(
    service: Service,
) -> None:
    service.topic.place(1, 2)
    with running(service.writing()):
        service.await_effects(1, 2)
    service.topic.place(3, 4, 5)
    admin = AdminClient({"bootstrap.servers": service.topic.servers})
    gone = TopicPartition(service.topic.name, 0, 4)
    next(iter(admin.delete_records([gone]).values())).result(30)
    with pytest.raises(OffsetLost, match="Set next_offset in consumer_offsets"):
        service.writing().run()
    service.rows("UPDATE consumer_offsets SET next_offset = 4 RETURNING 1")
    with running(service.writing()):
        service.await_effects(1, 2, 5)
