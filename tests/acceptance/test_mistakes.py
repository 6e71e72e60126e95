"""`check` finds each of eighty mistakes in seconds, and after its hint it finds none."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka.admin import AdminClient

from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.mistakes import brokers, configuration, connection, source
from tests.acceptance.mistakes.case import Mistake
from tests.acceptance.mistakes.stage import Outcome, Servers, Stage, faults_in
from tests.acceptance.secured import secured_broker

_PROMISE = 10.0
"""Seconds in which each mistake is found."""
_PATIENCE = 3  # times the promise, on a machine with other work
_AT_ONCE = 16
_MISTAKES = (
    *configuration.MISTAKES, *connection.MISTAKES, *source.MISTAKES, *brokers.MISTAKES,
)  # fmt: skip


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Yield one Postgres with a standby and one Kafka for all mistakes."""
    folder = tmp_path_factory.mktemp("mistakes")
    settings = {"max_replication_slots": 50, "max_wal_senders": 50, "max_connections": 200}
    with (
        PostgresServer(settings=settings, fsync=False) as postgres,
        PostgresServer(fsync=False, settings=settings) as standby,
        secured_broker(folder) as kafka,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        standby.stop()
        standby.follow(postgres, "standby").start()
        admin = AdminClient({"bootstrap.servers": kafka.broker.bootstrap_servers})
        made = Servers(postgres, kafka, standby, silent.getsockname()[1], folder, admin)
        made.set_up()
        yield made


@pytest.fixture(scope="module")
def outcomes(servers: Servers) -> dict[str, Outcome | BaseException]:
    """Make all mistakes, several at once, and print what `check` says of each."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        played = {
            mistake.name: pool.submit(Stage(servers, mistake, f"m{number:02}").play)
            for number, mistake in enumerate(_MISTAKES)
        }
    found = {name: future.exception() or future.result() for name, future in played.items()}
    for name, outcome in found.items():
        if isinstance(outcome, Outcome):
            codes = " ".join(fault["code"] for fault in outcome.faults)
            print(f"{name:<50} {codes:<10} {outcome.seconds:5.1f} s")
    return found


@pytest.mark.parametrize("mistake", _MISTAKES, ids=lambda mistake: mistake.name)
def test_each_mistake_has_its_code_and_a_hint_that_mends_it(
    outcomes: dict[str, Outcome | BaseException], mistake: Mistake
) -> None:
    outcome = outcomes[mistake.name]
    if isinstance(outcome, BaseException):
        raise outcome
    codes = {fault["code"] for fault in outcome.faults}
    assert codes == {mistake.code, *mistake.also}, outcome.text
    assert outcome.status == mistake.status
    assert all(fault["hint"] for fault in outcome.faults), outcome.text
    assert not outcome.missing, f"{outcome.missing!r} is not in:\n{outcome.text}"
    assert outcome.mended is not None
    assert faults_in(outcome.mended) == []
    assert outcome.seconds < _PROMISE * _PATIENCE
