"""The engine, the image, and a service for the sidecar in it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc_sidecar.servers.host import package_home
from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.conftest import MARKS, TABLES, Service, service_maker
from tests.image.bases import BASES, make_base
from tests.image.engine import Engine, why_not

_TAG = "cdc-sidecar:tested"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Yield an engine with the base images."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    engine = Engine()
    try:
        started = time.monotonic()
        for base in BASES:
            make_base(engine, base)
        print(f"\nbase images from Debian packages: {time.monotonic() - started:.0f} s")
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    """Build the image; return its name."""
    started = time.monotonic()
    engine.build(package_home(), _TAG)
    print(f"build of the image: {time.monotonic() - started:.0f} s")
    return _TAG


@pytest.fixture
def service(database: str, kafka: KafkaBroker, tmp_path: Path) -> Iterator[Service]:
    """Yield a service with one published table. Its sidecar is started by the test."""
    with service_maker(database, kafka.bootstrap_servers, tmp_path) as make:
        made = make(TABLES + MARKS)
        made.sql(
            "CREATE TABLE items (id bigint PRIMARY KEY, label text)",
            "CREATE PUBLICATION cdc FOR ALL TABLES",
        )
        yield made
