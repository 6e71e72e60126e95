"""A service has one position: another slot or transactional id is adopted only by a command."""

import subprocess

import psycopg
import pytest

from tests.acceptance.conftest import Service
from tests.acceptance.own_postgres import halt_of, published_ids


@pytest.fixture
def stopped(service: Service) -> Service:
    """Yield a service whose sidecar has published item 1, and was stopped before item 2."""
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 1, 'a')")
    service.await_published()
    assert service.sidecar.terminate() == 0
    service.sql("INSERT INTO items VALUES (2, 2, 'b')")
    return service


def _rename_slot(service: Service) -> None:
    service.reconfigure(f'slot = "{service.name}_cdc"', f'slot = "{service.name}_new"')


def _slots(service: Service) -> list[str]:
    query = "SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database()"
    with psycopg.connect(service.dsn, autocommit=True) as connection:
        return sorted(name.removeprefix(service.name) for (name,) in connection.execute(query))


def _run(service: Service, *command: str, status: int = 0) -> "subprocess.CompletedProcess[str]":
    run = service.sidecar.run(*command)
    assert run.returncode == status, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    return run


def test_another_slot_is_refused_everywhere_until_the_position_is_moved_and_then_loses_nothing(
    stopped: Service,
) -> None:
    _rename_slot(stopped)
    stopped.sidecar.start()
    halt = halt_of(stopped.sidecar)
    assert halt["code"] == "CDC-507"
    assert f"{stopped.name}_cdc" in halt["fact"]
    assert "CDC-507" in _run(stopped, "check", status=1).stdout
    assert "CDC-507" in _run(stopped, "teardown", "--yes", status=3).stderr
    assert _slots(stopped) == ["_cdc"], "a refused start creates no slot"
    dry = _run(stopped, "position move-slot").stdout
    assert "No change is lost, and none is published twice" in dry
    assert "dry run" in dry
    assert _slots(stopped) == ["_cdc"]
    assert "moved" in _run(stopped, "position move-slot", "--yes").stdout
    assert "nothing to move" in _run(stopped, "position move-slot", "--yes", status=1).stdout
    stopped.sidecar.start_and_stream()
    stopped.await_published()
    assert published_ids(stopped) == [1, 2]
    assert stopped.sidecar.terminate() == 0
    stopped.reconfigure(f"{stopped.name}_new", f"{stopped.name}_cdc")
    stopped.sidecar.start()
    assert halt_of(stopped.sidecar)["code"] == "CDC-507"


def test_a_copied_configuration_cannot_remove_the_topics_of_a_live_sidecar(
    service: Service,
) -> None:
    service.sidecar.start_and_stream()
    text = service.sidecar.config.read_text()
    _rename_slot(service)
    assert "CDC-507" in _run(service, "teardown", "--yes", status=3).stderr
    assert "CDC-507" in _run(service, "check", status=1).stdout
    assert "CDC-510" in _run(service, "position move-slot", "--yes", status=2).stderr
    service.sidecar.config.write_text(text)
    service.sql("INSERT INTO items VALUES (1, 1, 'a')")
    service.await_published()
    assert published_ids(service) == [1]
    assert not service.sidecar.events("session_ended")


def test_a_slot_that_begins_after_the_position_is_adopted_with_its_gap(stopped: Service) -> None:
    stopped.sql(
        f"SELECT pg_create_logical_replication_slot('{stopped.name}_new', 'pgoutput')",
        "INSERT INTO items VALUES (3, 3, 'c')",
        f"SELECT pg_drop_replication_slot('{stopped.name}_cdc')",
    )
    _rename_slot(stopped)
    shown = _run(stopped, "position move-slot", "--yes").stdout
    assert "gap" in shown
    assert "lost" in shown
    stopped.sidecar.start_and_stream()
    stopped.await_published()
    assert published_ids(stopped) == [1, 3]


def test_another_transactional_id_on_the_same_slot_is_refused_and_moved_in_the_same_way(
    stopped: Service,
) -> None:
    stopped.reconfigure("[topics]", f'transactional_id = "other-{stopped.name}"\n[topics]')
    stopped.sidecar.start()
    assert halt_of(stopped.sidecar)["code"] == "CDC-507"
    _run(stopped, "position move-slot", "--yes")
    stopped.sidecar.start_and_stream()
    stopped.await_published()
    assert published_ids(stopped) == [1, 2]
