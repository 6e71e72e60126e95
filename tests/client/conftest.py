"""What the tests of consumers share: a database with tables, a topic, a registry, a thread."""

from collections.abc import Iterator

import pytest

from cdc_sidecar.servers.kafka import KafkaBroker
from tests.client.billing_topic import Registry, Topic, running_registry
from tests.client.running import Service, prepare


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """Yield a registry with the schemas of order events."""
    with running_registry() as running:
        yield running


@pytest.fixture
def topic(kafka: KafkaBroker) -> Topic:
    """Return a new topic with one partition."""
    return Topic(kafka.bootstrap_servers)


@pytest.fixture
def consumer_database(database: str) -> str:
    """Return the connection string of a database with the tables of consumers and `effects`."""
    prepare(database)
    return database


@pytest.fixture
def service(consumer_database: str, topic: Topic, registry: Registry) -> Service:
    """Return a service that reads the topic."""
    return Service(consumer_database, topic, registry)
