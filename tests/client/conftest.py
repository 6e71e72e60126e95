"""What the tests of consumers share: a database with tables, a topic, a registry, a thread."""

from collections.abc import Iterator

import psycopg
import pytest
from cdc_sidecar_client.consumer import schema_sql

from cdc_sidecar.servers.kafka import KafkaBroker
from tests.client.billing_topic import Registry, Topic, running_registry
from tests.client.running import Service

EFFECTS = "CREATE TABLE effects (order_id text, note text)"


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
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(schema_sql().encode())
        connection.execute(EFFECTS)
    return database


@pytest.fixture
def service(consumer_database: str, topic: Topic, registry: Registry) -> Service:
    """Return a service that reads the topic."""
    return Service(consumer_database, topic, registry)
