"""One Prometheus and one Alertmanager for the tests of a module, and services to watch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import Services, services_in
from tests.conftest import SLOTS
from tests.monitoring.watching import Watching, watching

LIMITED: Final[dict[str, str | int]] = {**SLOTS, "max_slot_wal_keep_size": "4GB"}
"""Settings of a healthy server: an alert says that the limit is missing."""


@pytest.fixture(scope="module")
def watch() -> Iterator[Watching]:
    """Start Prometheus and Alertmanager with the scaled rules."""
    with watching() as both:
        yield both


@pytest.fixture(scope="module")
def limited() -> Iterator[PostgresServer]:
    """Yield a server that limits the WAL of a slot."""
    with PostgresServer(fsync=False, settings=LIMITED) as server:
        yield server


@pytest.fixture
def services(tmp_path: Path, kafka: KafkaBroker) -> Iterator[Services]:
    """Make services on any server, whose sidecars end with the test."""
    yield from services_in(tmp_path, kafka)
