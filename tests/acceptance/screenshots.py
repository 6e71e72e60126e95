"""Takes the pictures of the status page that the documentation shows: `make screenshots`.

They show real sidecars on real servers. Only the time between two samples of the curves is shorter,
so that the curves fill in a minute and not in fifteen.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

import psycopg

from cdc_sidecar.runtime import history
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance import sampled
from tests.acceptance.browser import MISSING, Browser, Screen, is_installed, open_browser
from tests.acceptance.conftest import service_maker
from tests.acceptance.status_scenes import (
    Maker,
    kafka_frozen,
    orders_placed,
    place_orders,
    shop,
)
from tests.effort import chance
from tests.waiting import await_true

FOLDER: Final = Path(__file__).parents[2] / "docs" / "img"
_LIMIT: Final = {"max_slot_wal_keep_size": "256MB"}
_DESKTOP: Final = Screen(1120, 860)
_LOW: Final = Screen(1120, 700)
_PHONE: Final = Screen(390, 1150, dark=True)
_FULL: Final = history.KEPT
"""Samples of a curve that is worth a picture."""


def main() -> None:
    """Take every picture."""
    if not is_installed():
        raise SystemExit(MISSING)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with (
            PostgresServer(settings=_LIMIT, fsync=False) as postgres,
            KafkaBroker() as kafka,
            open_browser(folder) as browser,
        ):
            with _maker(postgres, kafka, folder, "shop") as make:
                _streaming(browser, make, kafka)
            with _maker(postgres, kafka, folder, "billing") as make:
                _halted(browser, make)


@contextmanager
def _maker(
    postgres: PostgresServer, kafka: KafkaBroker, folder: Path, database: str
) -> Iterator[Maker]:
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{database}"'.encode())
    with service_maker(postgres.dsn(database), kafka.bootstrap_servers, folder) as make:
        yield make


def _streaming(browser: Browser, make: Maker, kafka: KafkaBroker) -> None:
    service = shop(make, "shop")
    service.sidecar.program = sampled.PROGRAM
    service.sidecar.start_and_stream()
    with orders_placed(service, _load(), 0.05):

        def is_full() -> bool:
            status = service.sidecar.status() or {}
            return len(status["history"]["lag_seconds"]) >= _FULL

        await_true(is_full, deadline=120, what="the curves are full")
        _shoot(browser, service.sidecar.port, "status-streaming", _DESKTOP)
        _shoot(browser, service.sidecar.port, "status-phone", _PHONE)
    with kafka_frozen(service, kafka), orders_placed(service, _load(), 0.05):

        def is_late() -> bool:
            return bool(((service.sidecar.status() or {}).get("lag_seconds") or 0) > 20)

        await_true(is_late, deadline=60, what="the outage lasts")
        _shoot(browser, service.sidecar.port, "status-kafka-away", _LOW)


def _halted(browser: Browser, make: Maker) -> None:
    service = shop(make, "billing", **{"[log]": '[shutdown]\non_halt = "stay"\n\n[log]'})
    service.sidecar.program = sampled.PROGRAM
    service.sidecar.start_and_stream()
    place_orders(service, 300)
    service.await_published()
    service.sql("ALTER TABLE payments RENAME TO payments_of_last_year")
    await_true(lambda: (service.sidecar.status() or {}).get("phase") == "halted", what="a halt")
    _shoot(browser, service.sidecar.port, "status-halted", _LOW)


def _load() -> Iterator[int]:
    """Yield numbers of orders that rise and fall, as those of a shop."""
    random = chance("screenshots")
    for step in count():
        wave = 30 + 25 * ((step // 40) % 5) / 4
        yield max(1, round(random.gauss(wave, 6))) * (6 if random.random() < 0.01 else 1)


def _shoot(browser: Browser, port: int, name: str, screen: Screen) -> None:
    browser.show(screen)
    browser.open(f"http://127.0.0.1:{port}/")
    await_true(lambda: browser.text("#live") == "live", what="the page is live")
    started = time.monotonic()
    await_true(lambda: time.monotonic() - started > 1, what="the next event")
    path = FOLDER / f"{name}.png"
    browser.screenshot(path)
    print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
