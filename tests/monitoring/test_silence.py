"""Nothing fires while all is well: restarts, rolling updates, a snapshot, Kafka's restart.

Two minutes with rules that are three times as fast; at full length an hour with the rules as they
are.
"""

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.brokers import IMPATIENT, QUICK, written_meanwhile
from tests.acceptance.conftest import MARKS, TABLES, Service, services_in
from tests.acceptance.own_postgres import ITEMS
from tests.effort import LONG
from tests.monitoring.tools import needed
from tests.monitoring.watching import Watching, watching
from tests.waiting import await_true

pytestmark = [needed, pytest.mark.timeout(4500 if LONG else 400)]
_SECONDS: Final = 3600.0 if LONG else 120.0
_FACTOR: Final = 1.0 if LONG else 3.0
_PAUSE: Final = _SECONDS / 12
"""Seconds between two acts of the operator."""
_TAKEN_OVER: Final = 4
"""The exit status of a sidecar whose session ended, and that finds the other one streaming."""
_WRITE: Final = (
    "INSERT INTO items SELECT coalesce(max(id), 0) + 1, 1, 'x' FROM items WHERE label = 'x'"
)


@pytest.fixture
def own_kafka() -> Iterator[KafkaBroker]:
    """Yield a broker that the test restarts."""
    with KafkaBroker(properties=QUICK) as broker:
        yield broker


def test_nothing_fires_while_all_is_well(
    own_kafka: KafkaBroker, limited: PostgresServer, tmp_path: Path
) -> None:
    maker = services_in(tmp_path, own_kafka)
    make = next(maker)
    pair = [make(limited, "well", TABLES + MARKS + IMPATIENT) for _ in range(2)]
    for service in pair:
        socket = service.sidecar.config.with_suffix(".sock")
        service.reconfigure("[snapshot]\n", f'[snapshot]\nsocket = "{socket}"\n')
    pair[0].sql(*ITEMS, "INSERT INTO items SELECT -n, n, 'old' FROM generate_series(1, 1000) n")
    with watching(_FACTOR) as watch:
        for service in pair:
            service.sidecar.start()
        watch.watch(*(service.sidecar for service in pair), job="cdc-sidecar")
        with written_meanwhile(pair[0], _WRITE, 0.05):
            acts = _operate(own_kafka, pair, watch)
        _leader(pair).await_published()
    next(maker, None)
    print(f"{_SECONDS:.0f} s, {acts} acts, nothing fired (rules {_FACTOR:g} times as fast)")


def _operate(kafka: KafkaBroker, pair: list[Service], watch: Watching) -> int:
    """Do one thing after the other, and check all the time that nothing fires."""
    end = time.monotonic() + _SECONDS
    for number, act in enumerate(itertools.cycle(_acts(kafka, pair))):
        act()
        pause = min(time.monotonic() + _PAUSE, end)

        def over(until: float = pause) -> bool:
            _keep_running(pair)
            fired = watch.alertmanager.active()
            assert not fired, fired
            return time.monotonic() >= until

        await_true(over, deadline=_PAUSE + 30, what="the pause is over")
        if time.monotonic() >= end:
            return number + 1
    raise AssertionError


def _acts(kafka: KafkaBroker, pair: list[Service]) -> list[Callable[[], object]]:
    """Return the acts; rolling updates are too rare among them to be a restart loop."""
    return [
        lambda: _roll(pair),
        lambda: _snapshot(_leader(pair)),
        kafka.restart,
        lambda: pair[0].sql("INSERT INTO items SELECT n, n, 'bulk' FROM generate_series(-9000000,"
                            " -8990000) n ON CONFLICT DO NOTHING"),
        lambda: _leader(pair).sidecar.process.send_signal(signal.SIGHUP),
        lambda: pair[0].sql("BEGIN; UPDATE items SET n = n + 1; ROLLBACK"),
    ]  # fmt: skip


def _snapshot(service: Service) -> None:
    done = service.sidecar.run("snapshot start", "public.items")
    assert done.returncode == 0, done.stderr


def _leader(pair: list[Service]) -> Service:
    """Return the one that streams, as soon as one does."""

    def streaming() -> list[Service]:
        _keep_running(pair)
        return [service for service in pair if _phase(service) == "streaming"]

    await_true(streaming, what="one of them streams")
    return streaming()[0]


def _roll(pair: list[Service]) -> None:
    """Restart one instance after the other: the standby, then the one that streams."""
    for service in sorted(pair, key=lambda each: _phase(each) == "streaming"):
        assert service.sidecar.terminate() in {0, _TAKEN_OVER}
        service.sidecar.start()
        await_true(partial(_phase, service), what="it answers")


def _keep_running(pair: list[Service]) -> None:
    """Start a sidecar again that the other one has replaced, as a platform does."""
    for service in pair:
        status = service.sidecar.process.poll()
        assert status in {None, _TAKEN_OVER}, service.sidecar.log_text()
        if status is not None:
            service.sidecar.start()


def _phase(service: Service) -> str:
    status = service.sidecar.status()
    return str(status["phase"]) if status else ""
