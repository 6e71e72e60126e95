"""The sidecar follows a failover without loss, and halts on any other history (B5, I7)."""

import time
from collections.abc import Iterator

import pytest

from cdc_sidecar.failpoints import VARIABLE
from cdc_sidecar.postgres.lsn import format_lsn, parse_lsn
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import Service, Services
from tests.acceptance.obeying import Person
from tests.acceptance.own_postgres import (
    ITEMS,
    ask,
    frozen,
    halt_of,
    published_ids,
)
from tests.waiting import await_true

_STANDBY = {"hot_standby_feedback": True, "sync_replication_slots": True}
_NO_SECOND_FENCE = {VARIABLE: "after_init_transactions#2=kill"}
_NO_FENCE = {VARIABLE: "after_init_transactions#1=kill"}


@pytest.fixture
def primary() -> Iterator[PostgresServer]:
    """Yield a server that can have a standby."""
    with PostgresServer(fsync=False) as server:
        yield server


@pytest.fixture
def standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    """Yield its standby, which also keeps the logical slots."""
    with PostgresServer(fsync=False, settings=_STANDBY).follow(primary, "standby") as server:
        yield server


def _service_on_both(
    services: Services, primary: PostgresServer, standby: PostgresServer, name: str
) -> Service:
    """Return a service that streams from the server that accepts writes."""
    service = services(
        primary,
        name,
        host="127.0.0.1,127.0.0.1",
        port=f"{primary.port},{standby.port}",
        target_session_attrs="read-write",
    )
    service.sql(
        *ITEMS,
        f"SELECT pg_create_logical_replication_slot('{name}_cdc', 'pgoutput', failover => true)",
    )
    return service


def _promote(service: Service, standby: PostgresServer) -> None:
    service.dsn = standby.dsn(service.name)
    service.sql("SELECT pg_promote()")


def test_a_failover_to_a_standby_that_has_everything_loses_and_repeats_nothing(
    services: Services, primary: PostgresServer, standby: PostgresServer
) -> None:
    service = _service_on_both(services, primary, standby, "failover")
    service.sidecar.start_and_stream("--bootstrap")
    service.sql("INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 1000) n")
    service.await_published()
    _await_synced(service, standby)
    _assert_one_on_the_standby_disturbs_nobody(service, services(standby, service.name))
    with frozen(service.sidecar.process.pid):
        service.sql("INSERT INTO items SELECT n, n, 'x' FROM generate_series(1001, 2000) n")
        _await_replayed(service, standby)
        primary.kill()
        _promote(service, standby)
    since = time.monotonic()
    await_true(lambda: service.sidecar.get("/readyz")[0] == 503, what="readyz red")
    assert service.sidecar.get("/livez")[0] == 200
    await_true(
        lambda: len(service.sidecar.events("stream_started")) > 1,
        deadline=3 * 40,
        what="it streams from the new primary",
    )
    print(f"it streamed from the new primary after {time.monotonic() - since:.1f} s")
    service.sql("INSERT INTO items SELECT n, n, 'x' FROM generate_series(2001, 2010) n")
    service.await_published()
    assert published_ids(service) == list(range(1, 2011))
    (changed,) = service.sidecar.events("timeline_changed")
    assert (changed["since"], changed["now"]) == (1, 2)
    assert service.sidecar.get("/readyz")[0] == 200


def _assert_one_on_the_standby_disturbs_nobody(service: Service, other: Service) -> None:
    """Check that it is refused, although the lock on the primary does not exclude it."""
    other.sidecar.start(environment=_NO_FENCE)
    await_true(lambda: other.sidecar.events("postgres_went_away"), what="it was refused")
    left = other.sidecar.events("postgres_went_away")[0]
    assert (left["code"], left["reason"]) == ("CDC-201", "the server is a standby")
    other.sidecar.kill()
    assert (service.sidecar.status() or {})["session"] == 1


def _await_synced(service: Service, standby: PostgresServer) -> None:
    """Wait until the standby's copy of the slot can survive a promotion."""
    query = "SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = %s"

    def synced() -> bool:
        service.sql("SELECT pg_log_standby_snapshot()")
        return ask(standby.dsn(), query, f"{service.name}_cdc") is True

    await_true(synced, deadline=60, what="the slot is on the standby")


def _await_replayed(service: Service, standby: PostgresServer) -> None:
    query = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
    goal = format_lsn(service.current_lsn())
    await_true(lambda: ask(standby.dsn(), query, goal), what="the standby has everything")


def test_a_failover_that_lost_what_is_published_halts_before_anyone_is_fenced(
    services: Services, primary: PostgresServer, standby: PostgresServer
) -> None:
    service = _service_on_both(services, primary, standby, "behind")
    service.sidecar.start("--bootstrap", environment=_NO_SECOND_FENCE)
    service.sidecar.await_phase("streaming")
    service.sql("INSERT INTO items VALUES (1, 1, 'on both')")
    service.await_published()
    _await_synced(service, standby)
    standby.stop()
    service.sql("INSERT INTO items VALUES (2, 2, 'on one, and published')")
    service.await_published()
    position = (service.sidecar.status() or {})["position"]
    primary.kill()
    standby.start()
    _promote(service, standby)
    halt = halt_of(service.sidecar)
    assert halt["code"] == "CDC-503"
    assert position in halt["fact"]
    history = next(standby.data_folder.glob("pg_wal/00000002.history")).read_text()
    assert f"timeline 2 left 1 at {history.split()[1]}" in halt["fact"]


def test_a_clone_that_is_behind_halts_and_the_original_streams_on(
    services: Services, primary: PostgresServer, kafka: KafkaBroker
) -> None:
    service = services(primary, "original")
    service.sql(*ITEMS)
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 1, 'on both')")
    service.await_published()
    assert service.sidecar.terminate() == 0
    primary.stop()
    with PostgresServer(fsync=False).copy(primary) as clone:
        primary.start()
        service.sidecar.start_and_stream()
        service.sql("INSERT INTO items SELECT n, n, 'x' FROM generate_series(2, 3000) n")
        service.await_published()
        copied = services(clone, service.name)
        copied.sidecar.start(environment=_NO_FENCE)
        halt = halt_of(copied.sidecar)
        assert halt["code"] == "CDC-505"
        person = Person(copied, kafka, clone)
        person.obey(halt)
        assert person.start_and_obey() == ["CDC-501"]
        assert format_lsn(copied.current_lsn())[:4] in halt["fact"]
    service.sql("INSERT INTO items VALUES (0, 0, 'still streaming')")
    service.await_published()
    assert (service.sidecar.status() or {})["session"] == 1
    assert published_ids(service) == [*range(1, 3001), 0]


def test_a_restored_backup_halts_also_when_more_was_written_since(
    services: Services, primary: PostgresServer
) -> None:
    service = services(primary, "restored")
    service.sql(*ITEMS)
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 1, 'in the backup')")
    service.await_published()
    assert service.sidecar.terminate() == 0
    primary.stop()
    backup = PostgresServer(fsync=False).copy(primary)
    primary.start()
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items SELECT n, n, 'x' FROM generate_series(2, 3000) n")
    service.await_published()
    position = parse_lsn((service.sidecar.status() or {})["position"])
    assert service.sidecar.terminate() == 0
    primary.stop()
    primary.copy(backup)
    backup.close()
    _recover(primary)
    assert service.current_lsn() < position
    service.sidecar.start(environment=_NO_FENCE)
    halt = halt_of(service.sidecar)
    assert (halt["code"], format_lsn(position) in halt["fact"]) == ("CDC-503", True)
    service.sql("INSERT INTO items SELECT n, n, 'y' FROM generate_series(2, 9000) n")
    assert service.current_lsn() > position
    service.sidecar.start(environment=_NO_FENCE)
    halt = halt_of(service.sidecar)
    assert (halt["code"], format_lsn(position) in halt["fact"]) == ("CDC-503", True)


def _recover(server: PostgresServer) -> None:
    """Start it like a restored backup: it recovers and begins a new timeline."""
    server.settings["restore_command"] = "false"
    (server.data_folder / "recovery.signal").touch()
    server.start()
    await_true(lambda: ask(server.dsn(), "SELECT NOT pg_is_in_recovery()"), what="it has recovered")
