"""Kafka away, a halt that is held, and one of two services gone: each wakes somebody.

The other faults are in test_faults.py, for `make monitoring-test`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.brokers import IMPATIENT, QUICK
from tests.acceptance.conftest import MARKS, TABLES, Service, services_in
from tests.acceptance.own_postgres import ITEMS
from tests.monitoring.tools import needed
from tests.monitoring.watching import Watching

pytestmark = needed
_STAY = '\n[shutdown]\non_halt = "stay"\n'


def test_kafka_away_a_held_halt_and_a_lost_service_each_fire_and_a_calm_service_does_not(
    watch: Watching, three: list[Service]
) -> None:
    calm, halting, leaving = three
    with watch.fires("Halted", halting.name):
        halting.sql("DROP TABLE items")
    halted = watch.firing(halting.name)["Halted"]
    assert halted["labels"]["reason"] == "CDC-208"
    assert halted["labels"]["severity"] == "critical"
    with watch.fires("Gone", leaving.name):
        leaving.sidecar.kill()
    assert watch.firing(calm.name) == {}
    calm.sql("INSERT INTO items VALUES (1, 1, 'a')")


def test_kafka_away_fires_and_ends_when_it_returns(
    watch: Watching, three: list[Service], own_kafka: KafkaBroker
) -> None:
    calm = three[0]
    with watch.fires("KafkaUnreachable", calm.name):
        own_kafka.kill()
        calm.sql("INSERT INTO items VALUES (2, 2, 'b')")
    own_kafka.start()
    watch.await_resolved("KafkaUnreachable", calm.name)
    calm.await_published()


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[KafkaBroker]:
    """Yield a broker that a test can kill."""
    with KafkaBroker(properties=QUICK) as broker:
        yield broker


@pytest.fixture(scope="module")
def three(
    watch: Watching,
    own_kafka: KafkaBroker,
    limited: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Service]]:
    """Yield three services that stream and are scraped."""
    folder: Path = tmp_path_factory.mktemp("services")
    maker = services_in(folder, own_kafka)
    make = next(maker)
    made = [
        make(limited, f"alert_{name}", TABLES + MARKS + IMPATIENT + _STAY)
        for name in ("calm", "halting", "leaving")
    ]
    for service in made:
        service.sql(*ITEMS)
        service.sidecar.start()
    for service in made:
        service.sidecar.await_phase("streaming")
    watch.watch(*(service.sidecar for service in made))
    yield made
    next(maker, None)
