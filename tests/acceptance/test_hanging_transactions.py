"""A claim of the position ends a hanging transaction, in a command as well as in the sidecar.

The position behind it could not be read, and readers of an event topic would wait at it for ever.
"""

from collections.abc import Callable, Iterator

import pytest

from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.brokers import end_of, service_on
from tests.acceptance.conftest import Service
from tests.acceptance.events import read_topics
from tests.acceptance.own_postgres import published_ids
from tests.hanging import UNVERIFIED, leave_hanging
from tests.topics import make_topic


@pytest.fixture(scope="module")
def unverified() -> Iterator[KafkaBroker]:
    """Give a broker on which a transaction can be left hanging."""
    with KafkaBroker(properties=UNVERIFIED) as broker:
        yield broker


@pytest.fixture
def stopped(unverified: KafkaBroker, make_service: Callable[..., Service]) -> Service:
    """Give a service whose sidecar has published item 1 and was stopped."""
    service = service_on(unverified.bootstrap_servers, make_service)
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 1, 'a')")
    service.await_published()
    assert service.sidecar.terminate() == 0
    return service


def _leave_hanging(service: Service, *topics: str) -> None:
    for topic in topics:
        leave_hanging(service.kafka, f"cdc.{service.name}.{service.name}_cdc", topic)
        assert _hangs(service, topic)


def _hangs(service: Service, topic: str) -> bool:
    stable, end = (end_of(service.kafka, topic, decided=decided) for decided in (True, False))
    return stable < end


@pytest.mark.parametrize("topic", ["_cdc.{}.position", "{}.public.items"])
def test_reset_moves_the_position_and_ends_the_transaction(stopped: Service, topic: str) -> None:
    stopped.sql("INSERT INTO items VALUES (2, 2, 'left out')")
    goal = format_lsn(stopped.current_lsn())
    stopped.sql("INSERT INTO items VALUES (3, 3, 'c')")
    name = topic.format(stopped.name)
    _leave_hanging(stopped, name)
    run = stopped.sidecar.run("position reset", "--to", goal, "--yes")
    assert run.returncode == 0, run.stderr
    assert "moved" in run.stdout
    assert not _hangs(stopped, name)
    stopped.sidecar.start_and_stream()
    stopped.await_published()
    assert published_ids(stopped) == [1, 3]
    assert not stopped.sidecar.events("hanging_transactions_aborted"), "the reset has ended it"


def test_a_sidecar_that_starts_ends_it_and_its_records_never_become_visible(
    stopped: Service,
) -> None:
    topics = [f"_cdc.{stopped.name}.position", *stopped.topics("items")]
    _leave_hanging(stopped, *topics)
    stopped.sql("INSERT INTO items VALUES (2, 2, 'b')")
    stopped.sidecar.start_and_stream()
    stopped.await_published()
    assert published_ids(stopped) == [1, 2]
    (event,) = stopped.sidecar.events("hanging_transactions_aborted")
    assert event["partitions"] == [f"{name}-0" for name in sorted(topics)]


def test_teardown_ends_it_on_a_topic_that_it_leaves(
    unverified: KafkaBroker, make_service: Callable[..., Service]
) -> None:
    service = service_on(unverified.bootstrap_servers, make_service)
    (topic,) = service.topics("items")
    make_topic(service.kafka, topic)
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 1, 'a')")
    service.await_published()
    assert service.sidecar.terminate() == 0
    _leave_hanging(service, topic)
    run = service.sidecar.run("teardown", "--yes")
    assert run.returncode == 0, run.stderr
    assert f"topic {topic}" not in run.stdout
    assert not _hangs(service, topic)
    (records,) = read_topics(service.kafka, [topic]).values()
    assert len(records) == 1, "the record of the hanging transaction is not visible"
