"""Sessions start, wait, end and start again without help (B1, B9, B56, B57)."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cdc_sidecar.failpoints import VARIABLE
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer, StopMode
from cdc_sidecar.servers.postgres_installation import installed_postgres
from tests.acceptance.conftest import MARKS, Service, Services
from tests.acceptance.events import Oracle, read_events
from tests.acceptance.obeying import Person
from tests.acceptance.own_postgres import ITEMS, halt_of, metric, slot_column
from tests.waiting import await_true


def test_a_stop_commits_what_is_whole_acknowledges_it_and_frees_the_slot(
    service: Service,
) -> None:
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    service.sql("INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 5000) n")
    service.await_published()
    assert service.sidecar.terminate() == 0
    assert slot_column(service, "active") is False
    assert service.assert_exactly_once(oracle, "items") == 5000
    run = service.sidecar.run("status", "--json")
    status = json.loads(run.stdout)
    assert status["phase"] == "down"
    assert status["slot"]["confirmed_flush_lsn"] == status["position"]


def test_a_stop_while_streaming_loses_and_repeats_nothing(service: Service) -> None:
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    for start in range(0, 30_000, 10_000):
        service.sql(
            f"INSERT INTO items SELECT n, n, 'x' FROM generate_series({start}, {start + 9_999}) n"
        )
        assert service.sidecar.terminate() == 0
        service.sidecar.start_and_stream()
    service.await_published()
    assert service.assert_exactly_once(oracle, "items") == 30_000


def test_a_slot_that_another_reader_holds_is_waited_for_until_the_hint_is_followed(
    service: Service, postgres: PostgresServer, kafka: KafkaBroker
) -> None:
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    assert service.sidecar.terminate() == 0
    reader = subprocess.Popen(
        [
            *(postgres.bin("pg_recvlogical"), "-d", service.dsn, "-S", f"{service.name}_cdc"),
            *("--start", "--no-loop", "-f", "/dev/null", "-F", "0", "-s", "0"),
            *("-o", "proto_version=1", "-o", "publication_names=cdc"),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        await_true(lambda: slot_column(service, "active"), what="the other reader holds the slot")
        service.sql("INSERT INTO items VALUES (1, 1, 'a')")
        service.sidecar.start()
        await_true(lambda: service.sidecar.events("session_ended"), what="it was found busy")
        ended = service.sidecar.events("session_ended")[0]
        assert ended["code"] == "CDC-203"
        assert service.sidecar.get("/readyz")[0] == 503
        Person(service, kafka, postgres).obey(ended)
        service.sidecar.await_phase("streaming")
    finally:
        reader.kill()
        reader.wait()
    service.await_published()
    assert service.assert_exactly_once(oracle, "items") == 1


def test_the_walsender_terminated_is_a_new_session_not_a_loss(service: Service) -> None:
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    service.sql("INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 3000) n")
    service.sql(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
        f" WHERE slot_name = '{service.name}_cdc'"
    )
    await_true(lambda: len(service.sidecar.events("stream_started")) == 2, what="a second session")
    service.sql("UPDATE items SET n = 0 WHERE id <= 10")
    service.await_published()
    assert service.assert_exactly_once(oracle, "items") == 3010
    assert service.sidecar.events("postgres_went_away")[0]["code"] == "CDC-201"


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_postgres_restarted_in_mid_commit_is_waited_for_and_nothing_is_lost(
    services: Services, mode: StopMode
) -> None:
    with PostgresServer() as postgres:
        service = services(postgres, f"restart_{mode}")
        service.sql(*ITEMS)
        service.sidecar.start(environment={VARIABLE: "before_commit#1=delay"})
        service.sidecar.await_phase("streaming")
        oracle = service.oracle()
        service.sql("INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 5000) n")
        assert not service.sidecar.events("transaction_published"), "it is behind"
        postgres.stop(mode, seconds=6)  # three times the promised 2 s
        await_true(lambda: service.sidecar.get("/readyz")[0] == 503, what="readyz red")
        assert service.sidecar.get("/livez")[0] == 200
        postgres.start()
        since = time.monotonic()
        service.sidecar.await_phase("streaming", deadline=60)
        print(f"after {mode} it streamed {time.monotonic() - since:.1f} s after the server's start")
        service.sql("UPDATE items SET n = 0 WHERE id <= 10")
        service.await_published()
        assert service.assert_exactly_once(oracle, "items") == 5010


def test_a_table_added_to_publication_and_configuration_flows_after_a_restart(
    make_service: Callable[..., Service],
) -> None:
    service = make_service('\n[[tables]]\nname = "public.items"\ncolumns = ["*"]\n' + MARKS)
    service.sql(
        "CREATE TABLE items (id int PRIMARY KEY)",
        "CREATE TABLE more (id int PRIMARY KEY)",
        "CREATE PUBLICATION cdc FOR TABLE items",
    )
    service.sidecar.start_and_stream()
    oracle: Oracle = service.oracle()
    service.sql("INSERT INTO items VALUES (1)")
    service.await_published()
    service.sql("ALTER PUBLICATION cdc ADD TABLE more")
    config = service.sidecar.config
    text = config.read_text()
    config.write_text(text + '\n[[tables]]\nname = "public.more"\ncolumns = ["*"]\n')
    assert service.sidecar.terminate() == 0
    service.sidecar.start_and_stream()
    assert service.sidecar.events("configuration_changed")
    service.sql("INSERT INTO more VALUES (1)", "INSERT INTO items VALUES (2)")
    service.await_published()
    assert service.assert_exactly_once(oracle, "items", "more") == 3


def test_a_stop_inside_a_transaction_aborts_it_and_the_next_start_publishes_it_whole(
    service: Service,
) -> None:
    sidecar = service.sidecar
    sidecar.start_and_stream()
    oracle = service.oracle()
    sidecar.kill()
    service.sql("INSERT INTO items SELECT n, n, 'row ' || n FROM generate_series(1, 60000) n")
    small = {"CDC_SIDECAR__PUBLISH__MAX_QUEUE_BYTES": '"1MB"'}  # the Commit cannot have come yet
    sidecar.start(environment={**small, VARIABLE: "before_produce#3=stop"})
    stat = Path(f"/proc/{sidecar.process.pid}/stat")
    await_true(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", what="it stood still")
    sidecar.process.send_signal(signal.SIGTERM)
    sidecar.process.send_signal(signal.SIGCONT)
    assert sidecar.await_exit(3 * 25) == 0
    assert sidecar.events("transaction_aborted")[-1]["certain"] is True
    assert slot_column(service, "active") is False
    seen = read_events(service.kafka, service.name, service.topics("items"))
    assert not any(seen.values()), "part of the transaction was visible, or readers were stalled"
    sidecar.start_and_stream()
    service.await_published()
    assert service.assert_exactly_once(oracle, "items") == 60000


@pytest.mark.parametrize("version", [15])
def test_older_servers_are_streamed_from_as_well(services: Services, version: int) -> None:
    binaries = installed_postgres().get(version)
    if binaries is None:
        pytest.skip(f"PostgreSQL {version} is not installed on this machine")
    with PostgresServer(bin_folder=binaries, fsync=False) as postgres:
        service = services(postgres, f"old{version}")
        service.sql(*ITEMS)
        service.sidecar.start_and_stream()
        oracle = service.oracle()
        service.sql(
            "INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 1000) n",
            "UPDATE items SET id = id + 5000 WHERE id < 10",
        )
        service.await_published()
        service.sidecar.kill()
        service.sql("DELETE FROM items WHERE id > 900")
        service.sidecar.start_and_stream()
        service.await_published()
        assert service.assert_exactly_once(oracle, "items") > 1000
        reserved = 'slot_wal_status{state="reserved"}'
        await_true(lambda: metric(service.sidecar, reserved) == 1, what="a look at the slot")
        assert service.sidecar.run("check").returncode == 0
        service.sql("DROP PUBLICATION cdc", "INSERT INTO items VALUES (1, 1, 'a')")
        assert halt_of(service.sidecar)["code"] == "CDC-207"
        service.sidecar.close()
