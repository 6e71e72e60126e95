"""Members of a group come and go, and so do partitions and the database, and no event is lost."""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, ClassVar

import confluent_kafka
import pytest
from cdc_sidecar_client.consumer import Consumer, Policy
from confluent_kafka.admin import AdminClient, NewPartitions

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.client.billing_topic import Registry, Topic
from tests.client.running import QUICK, Service, prepare, running
from tests.waiting import await_true

_EAGER = {"topic.metadata.refresh.interval.ms": 100}


@pytest.fixture
def wide(consumer_database: str, kafka: KafkaBroker, registry: Registry) -> Service:
    """Return a service that reads a topic with four partitions."""
    return Service(consumer_database, Topic(kafka.bootstrap_servers, 4), registry)


def _assert_once(service: Service, count: int) -> None:
    assert Counter(service.effects()) == Counter(str(number) for number in range(count))


def test_members_that_join_and_leave_handle_each_event_once(wide: Service) -> None:
    soon = {"heartbeat.interval.ms": 100}  # a member hears of the others with its heartbeats
    members = [
        wide.writing(Policy(retry=QUICK, batch=batch), kafka=soon) for batch in (1, 5, 1, 20)
    ]
    sent = iter(range(10_000, 10**9, 20))

    def works(member: Consumer) -> bool:
        first = next(sent)
        wide.topic.place(*range(first, first + 20))
        return member.counts.handled > 0

    with ExitStack() as rest, running(members[0]):
        for member in members[1:]:
            rest.enter_context(running(member))
            await_true(lambda member=member: works(member), what="the member works")  # type: ignore[misc]
        rest.close()
        count = next(sent) - 10_000
        await_true(lambda: len(wide.effects()) >= count, what="every event")
    assert Counter(wide.effects()) == Counter(str(n) for n in range(10_000, 10_000 + count))


class _Guarded(confluent_kafka.Consumer):
    """A client that notes whether it is asked for metadata while it calls back."""

    asked: ClassVar[list[str]] = []
    is_calling = False

    def subscribe(self, *topics: Any, **callbacks: Any) -> None:  # noqa: ANN401 - as its base
        """Subscribe with callbacks that are noted."""
        noting: dict[str, Any] = {each: self._noting(callbacks[each]) for each in callbacks}
        super().subscribe(*topics, **noting)

    def list_topics(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as its base
        """Ask for the metadata of topics."""
        if self.is_calling:
            self.asked.append("list_topics")
        return super().list_topics(*arguments, **named)

    def _noting(self, callback: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            self.is_calling = True
            callback(*arguments)
            self.is_calling = False

        return call


def test_the_client_is_not_asked_for_metadata_while_it_calls_back(
    wide: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After that, its next callback in the same poll would abort the process."""
    monkeypatch.setattr("cdc_sidecar_client.consumer.kafka.Consumer", _Guarded)
    wide.topic.place(*range(8))
    with running(wide.writing()):
        await_true(lambda: len(wide.effects()) == 8, what="every event")
    assert _Guarded.asked == []


def test_a_partition_that_is_added_later_is_read_from_its_first_event(wide: Service) -> None:
    consumer = wide.writing(Policy(retry=QUICK, start="latest"), kafka=_EAGER)
    offsets = "SELECT count(*) FROM consumer_offsets"
    with running(consumer):
        await_true(lambda: wide.rows(offsets) == [(4,)], what="the group has begun")
    admin = AdminClient({"bootstrap.servers": wide.topic.servers})
    admin.create_partitions([NewPartitions(wide.topic.name, 12)])[wide.topic.name].result(30)
    more = Topic(wide.topic.servers, name=wide.topic.name, exists=True)
    more.place(*range(100))
    with running(wide.writing(Policy(retry=QUICK, start="latest"), kafka=_EAGER)):
        await_true(lambda: len(wide.effects()) >= 100, what="every event")
    assert wide.rows(offsets) == [(12,)]
    _assert_once(wide, 100)


def test_a_topic_that_does_not_exist_yet_is_read_when_it_is_created(wide: Service) -> None:
    later = Topic(wide.topic.servers, name=f"{wide.topic.name}_later", exists=True)
    wide.topic.place(0)
    consumer = wide.writing(topics=[wide.topic.name, later.name], kafka=_EAGER)
    with running(consumer):
        wide.await_effects(0)
        Topic(wide.topic.servers, name=later.name).place(1)
        wide.await_effects(0, 1)


def test_a_database_that_is_away_delays_events_and_repeats_none(
    topic: Topic, registry: Registry
) -> None:
    with PostgresServer(fsync=False) as server:
        prepare(server.dsn())
        service = Service(server.dsn(), topic, registry)
        consumer = service.writing()
        with running(consumer):
            topic.place(*range(20))
            service.await_effects(*range(20))
            server.stop()
            topic.place(*range(20, 40))
            server.start()
            service.await_effects(*range(40))
    assert (consumer.counts.failed, consumer.counts.parked) == (0, 0)
