"""After a kill, a freeze or a cut, another session continues in time (B9, B51, B56)."""

import math
import signal
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from cdc_sidecar.failpoints import VARIABLE
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import Service, Services
from tests.acceptance.own_postgres import (
    ITEMS,
    await_stopped,
    frozen,
    metric,
    slot_column,
)
from tests.acceptance.relay import Relay
from tests.acceptance.sidecar import Sidecar
from tests.effort import LONG
from tests.waiting import await_true

_TIMEOUT = 4  # seconds, wal_sender_timeout
_TAKE_OVER = _TIMEOUT + 10  # seconds that are promised
_SILENCE = 10  # seconds, the shortest time after which a frozen walsender is abandoned


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """Yield a server that soon notices closed connections."""
    with PostgresServer(fsync=False, settings={"wal_sender_timeout": f"{_TIMEOUT}s"}) as server:
        yield server


def _pair(postgres: PostgresServer, services: Services, name: str) -> tuple[Service, Service]:
    """Return two sidecars of one service. The first is not started yet."""
    first, second = services(postgres, name), services(postgres, name)
    first.sql(*ITEMS)
    return first, second


def _await_takeover(second: Sidecar, since: float, how: str) -> None:
    second.await_phase("streaming", deadline=3 * _TAKE_OVER)
    print(f"the first was {how}: the second streamed after {time.monotonic() - since:.1f} s")


@pytest.mark.parametrize("how", ["terminated", "killed"])
def test_a_second_sidecar_waits_ready_and_takes_over_by_itself(
    own_postgres: PostgresServer, services: Services, how: str
) -> None:
    first, second = _pair(own_postgres, services, f"pair_{how}")
    first.sidecar.start_and_stream()
    oracle = first.oracle()
    second.sidecar.start()
    second.sidecar.await_phase("waiting")
    first.sql("INSERT INTO items VALUES (0, 0, 'first')")
    first.await_published()
    code, text = second.sidecar.get("/readyz")
    assert code == 200
    assert "stream: waiting" in text
    _assert_standby_serves(first, second)
    first.sql("INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 3000) n")
    since = time.monotonic()
    if how == "killed":
        first.sidecar.kill()
    else:
        assert first.sidecar.terminate() == 0
    _await_takeover(second.sidecar, since, how)
    second.sql("UPDATE items SET n = 0 WHERE id = 0")
    second.await_published()
    assert second.assert_exactly_once(oracle, "items") == 3002


def _assert_standby_serves(first: Service, second: Service) -> None:
    """Check that a standby has the schemas of the sidecar that streams, and no lag of its own."""
    subjects = first.sidecar.get("/subjects")
    assert "items-value" in subjects[1]
    await_true(lambda: second.sidecar.get("/subjects") == subjects, what="the same schemas")
    assert metric(first.sidecar, "leader") == 1
    assert metric(second.sidecar, "leader") == 0
    assert metric(second.sidecar, "ready") == 1
    assert math.isnan(metric(second.sidecar, "lag_seconds"))
    status = second.sidecar.status()
    assert status
    assert status["lag_seconds"] is None


def test_a_sidecar_frozen_in_mid_commit_is_replaced_and_publishes_nothing_when_it_wakes(
    own_postgres: PostgresServer, services: Services
) -> None:
    first, second = _pair(own_postgres, services, "pair_frozen")
    first.sidecar.start(environment={VARIABLE: "before_commit#1=stop"})
    first.sidecar.await_phase("streaming")
    oracle = first.oracle()
    second.sidecar.start()
    second.sidecar.await_phase("waiting")
    first.sql("INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 3000) n")
    await_stopped(first.sidecar.process.pid)
    _await_takeover(second.sidecar, time.monotonic(), "frozen")
    second.sql("UPDATE items SET n = 0 WHERE id < 10")
    second.await_published()
    first.sidecar.process.send_signal(signal.SIGCONT)
    assert first.sidecar.await_exit() == 4
    assert first.sidecar.events("sidecar_halted")[-1]["code"] == "CDC-409"
    second.sql("INSERT INTO items VALUES (0, 0, 'after it woke')")
    second.await_published()
    assert second.assert_exactly_once(oracle, "items") == 3010
    assert not first.sidecar.events("transaction_published")
    assert len(second.sidecar.events("stream_started")) == 1, "neither flaps"
    first.sidecar.start()  # "after a restart this one is its standby", says the hint
    first.sidecar.await_phase("waiting")


def test_a_frozen_walsender_is_noticed_and_replaced_when_it_has_gone(
    own_postgres: PostgresServer, services: Services
) -> None:
    service = services(own_postgres, "walsender")
    service.sql(*ITEMS)
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    service.sql("INSERT INTO items VALUES (1, 1, 'before')")
    service.await_published()
    with frozen(int(str(slot_column(service, "active_pid")))):
        since = time.monotonic()
        service.sql("INSERT INTO items SELECT n, n, 'meanwhile' FROM generate_series(2, 1000) n")
        await_true(
            lambda: service.sidecar.events("postgres_went_away"),
            deadline=3 * _SILENCE,
            what="the silence was noticed",
        )
        print(f"a frozen walsender was noticed after {time.monotonic() - since:.1f} s")
        await_true(
            lambda: service.sidecar.events("former_walsender_awaited"),
            what="the new session found its walsender's lock",
        )
        assert service.sidecar.get("/readyz")[0] == 503
        assert service.sidecar.get("/livez")[0] == 200
    since = time.monotonic()
    service.sidecar.await_phase("streaming")
    print(f"once it went on, the stream did after {time.monotonic() - since:.1f} s")
    service.await_published()
    assert service.assert_exactly_once(oracle, "items") == 1000
    assert not service.sidecar.events("session_ended")


@pytest.mark.parametrize("how", ["reset", "swallowed"] if LONG else ["reset"])
def test_a_lost_connection_ends_the_session_before_anything_more_is_published_under_it(
    own_postgres: PostgresServer, services: Services, how: str
) -> None:
    with Relay(own_postgres.port).listening() as relay:
        service = services(own_postgres, f"cut_{how}", host="127.0.0.1", port=relay.port)
        service.sql(*ITEMS)
        service.sidecar.start_and_stream()
        oracle = service.oracle()
        writer = _Writer(service)
        for cuts in range(1, 4):
            published = len(service.sidecar.events("transaction_published"))
            await_true(
                lambda before=published: (  # type: ignore[misc]  # mypy cannot infer the default
                    len(service.sidecar.events("transaction_published")) > before + 3
                ),
                what="it is in the middle of it",
            )
            _cut(relay, service.sidecar, how, cuts)
        written = writer.end()
        service.await_published()
        assert service.assert_exactly_once(oracle, "items") == written
    _assert_nothing_is_published_after_its_session(service.sidecar)


def _cut(relay: Relay, sidecar: Sidecar, how: str, cuts: int) -> None:
    """Cut the wire; wait for the signals of this cut and for the next stream."""
    since = time.monotonic()
    if how == "reset":
        relay.reset()
    else:
        with relay.swallowing():
            await_true(
                lambda: len(sidecar.events("postgres_went_away")) >= cuts,
                deadline=3 * _SILENCE,
                what="the silence was noticed",
            )
    await_true(lambda: sidecar.get("/readyz")[0] == 503, what="readyz red")
    assert sidecar.get("/livez")[0] == 200
    await_true(lambda: len(sidecar.events("stream_started")) > cuts, what="a new stream")
    print(f"the wire was {how}: a new stream after {time.monotonic() - since:.1f} s")
    assert len(sidecar.events("postgres_returned")) >= cuts


def _assert_nothing_is_published_after_its_session(sidecar: Sidecar) -> None:
    newest = 0
    for event in sidecar.all_events():
        if event["event"] == "stream_started":
            newest = event["session"]
        if event["event"] == "transaction_published":
            assert event["session"] == newest
        if event["event"] in ("session_ended", "postgres_went_away"):
            newest = -1


class _Writer:
    """Writes rows one after the other, not through the relay."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._ending = threading.Event()
        self._rows = 0
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def end(self) -> int:
        """Stop; return the number of rows that were written."""
        self._ending.set()
        self._thread.join(30)
        return self._rows

    def _write(self) -> None:
        with psycopg.connect(self._service.dsn, autocommit=True) as connection:
            while not self._ending.wait(0.005):
                connection.execute("INSERT INTO items VALUES (%s, 0, 'x')", (self._rows,))
                self._rows += 1
