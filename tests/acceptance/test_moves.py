"""Only a person moves the position (`cdc-sidecar position`)."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import TABLES, Service
from tests.acceptance.events import read_topics
from tests.acceptance.own_postgres import published_ids, slot_column
from tests.conftest import drop_slots
from tests.waiting import await_true

MORE = TABLES + '[messages]\nprefixes = ["mark"]\n'


@pytest.fixture
def stopped(service: Service) -> Service:
    """Yield a service whose sidecar has published item 1 and was stopped."""
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 1, 'a')")
    service.await_published()
    assert service.sidecar.terminate() == 0
    return service


@pytest.fixture
def gapped(stopped: Service) -> Service:
    """Yield such a service whose slot was dropped and made again after item 2."""
    slot = f"{stopped.name}_cdc"
    stopped.sql(
        f"SELECT pg_drop_replication_slot('{slot}')",
        "INSERT INTO items VALUES (2, 2, 'lost')",
        f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')",
    )
    return stopped


def _show(service: Service) -> dict[str, Any]:
    run = service.sidecar.run("position show", "--json")
    assert run.returncode == 0, run.stderr
    body: dict[str, Any] = json.loads(run.stdout)
    return body


def _move(service: Service, *arguments: str, status: int = 0) -> "subprocess.CompletedProcess[str]":
    """Run a command that moves the position; check its exit status."""
    run = service.sidecar.run(*arguments)
    assert run.returncode == status, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    return run


def _positions(service: Service) -> object:
    """Return every record of the position topic."""
    return read_topics(service.kafka, [f"_cdc.{service.name}.position"])


def test_accept_gap_without_yes_tells_the_gap_and_changes_nothing(gapped: Service) -> None:
    before, position = _positions(gapped), _show(gapped)["position"]["end"]
    run = _move(gapped, "position accept-gap")
    for part in (
        position,
        str(slot_column(gapped, "confirmed_flush_lsn")),
        "bytes of WAL",
        "never reach Kafka",
        "--yes",
    ):
        assert part in run.stdout
    assert _positions(gapped) == before


def test_an_accepted_gap_lets_the_sidecar_publish_what_follows_once(gapped: Service) -> None:
    gapped.sidecar.start()
    assert gapped.sidecar.await_exit() == 3
    halt = gapped.sidecar.events("sidecar_halted")[-1]
    assert halt["code"] == "CDC-504"
    assert "position accept-gap" in halt["hint"]
    _move(gapped, "position accept-gap", "--yes", "--reason", "the slot was dropped")
    assert _show(gapped)["meaning"]["state"] == "continuous"
    gapped.sql("INSERT INTO items VALUES (3, 3, 'kept')")
    gapped.sidecar.start_and_stream()
    gapped.sql("INSERT INTO items VALUES (4, 4, 'kept')")
    gapped.await_published()
    assert published_ids(gapped) == [1, 3, 4]


def test_an_accepted_gap_is_kept_in_the_record_through_later_commits(gapped: Service) -> None:
    before = _show(gapped)["position"]["end"]
    _move(gapped, "position accept-gap", "--yes", "--reason", "the slot was dropped")
    gapped.sidecar.start_and_stream()
    gapped.await_published()
    (move,) = _show(gapped)["moves"]
    assert move["kind"] == "accept-gap"
    assert move["from"] == before
    assert move["to"]
    assert move["reason"] == "the slot was dropped"
    assert "@" in move["by"]
    shown = gapped.sidecar.run("position show").stdout
    assert "the slot was dropped" in shown
    assert shown.startswith(
        f"{gapped.name} can continue: the slot and the position fit together.\n"
    )
    for part in ("source    Postgres 1", ", committed ", "ago (20", " of WAL"):
        assert part in shown, shown


def test_without_a_gap_there_is_nothing_to_accept(stopped: Service) -> None:
    before = _positions(stopped)
    run = _move(stopped, "position accept-gap", "--yes", status=1)
    assert "no change is missing" in run.stdout
    assert _positions(stopped) == before


def test_before_the_first_start_there_is_no_position_to_move(service: Service) -> None:
    assert _show(service)["meaning"]["state"] == "no position"
    run = _move(service, "position accept-gap", "--yes", status=1)
    assert "no position yet" in run.stdout


def test_a_gap_is_not_accepted_without_a_slot_to_go_on_with(stopped: Service) -> None:
    stopped.sql(f"SELECT pg_drop_replication_slot('{stopped.name}_cdc')")
    assert _show(stopped)["meaning"]["state"] == "slot missing"
    assert "CDC-204" in _move(stopped, "position accept-gap", "--yes", status=3).stderr


def test_show_tells_the_gap_in_bytes(gapped: Service) -> None:
    shown = _show(gapped)
    assert shown["meaning"]["state"] == "gap"
    assert shown["meaning"]["code"] == "CDC-504"
    high, low = (int(part, 16) for part in shown["position"]["end"].split("/"))
    gapped_at = shown["slot"]["confirmed_flush_lsn"].split("/")
    begin = int(gapped_at[0], 16) << 32 | int(gapped_at[1], 16)
    assert shown["meaning"]["gap_bytes"] == begin - (high << 32 | low)


def test_show_beside_a_sidecar_at_work_sees_no_gap(service: Service) -> None:
    service.sidecar.start_and_stream()
    service.sql(*(f"INSERT INTO items VALUES ({n}, 0, '')" for n in range(200)))
    assert _show(service)["meaning"]["state"] == "continuous"
    service.await_published()
    assert not service.sidecar.events("session_ended")


def test_reset_forward_leaves_out_exactly_what_lies_between(stopped: Service) -> None:
    stopped.sql("INSERT INTO items VALUES (2, 2, 'b')", "INSERT INTO items VALUES (3, 3, 'c')")
    goal = format_lsn(stopped.current_lsn())
    stopped.sql("INSERT INTO items VALUES (4, 4, 'd')")
    before = _positions(stopped)
    run = _move(stopped, "position reset", "--to", goal)
    assert "never reach Kafka" in run.stdout
    assert _positions(stopped) == before
    _move(stopped, "position reset", "--to", goal, "--yes")
    stopped.sidecar.start_and_stream()
    stopped.await_published()
    assert published_ids(stopped) == [1, 4]


def test_reset_back_repeats_exactly_the_transactions_in_between(service: Service) -> None:
    slot = f"{service.name}_cdc"
    service.sidecar.start_and_stream()
    service.sql(
        "INSERT INTO items VALUES (1, 1, 'a')",
        f"SELECT pg_copy_logical_replication_slot('{slot}', '{slot}_kept')",
        "INSERT INTO items VALUES (2, 2, 'b')",
    )
    goal = format_lsn(service.current_lsn())
    service.sql(
        "INSERT INTO items SELECT n, n, 'c' FROM generate_series(3, 4) n",
        "INSERT INTO items VALUES (5, 5, 'd')",
    )
    service.await_published()
    assert service.sidecar.terminate() == 0
    service.sql(
        f"SELECT pg_drop_replication_slot('{slot}')",
        f"SELECT pg_copy_logical_replication_slot('{slot}_kept', '{slot}')",
        "INSERT INTO items VALUES (6, 6, 'e')",
    )
    assert _show(service)["meaning"]["state"] == "continuous"
    assert "see it twice" in _move(service, "position reset", "--to", goal).stdout
    _move(service, "position reset", "--to", goal, "--yes")
    service.sidecar.start_and_stream()
    service.await_published()
    assert published_ids(service) == [1, 2, 3, 3, 4, 4, 5, 5, 6]
    (move,) = _show(service)["moves"]
    assert (move["kind"], move["to"], move["reason"]) == ("reset", goal, None)


def test_reset_is_refused_where_the_slot_cannot_serve_it(stopped: Service) -> None:
    before = _positions(stopped)
    for goal in ("0/1", "FFFF/0"):
        run = _move(stopped, "position reset", "--to", goal, "--yes", status=2)
        assert "CDC-511" in run.stderr
        assert str(slot_column(stopped, "confirmed_flush_lsn")) in run.stderr
    assert "--to" in _move(stopped, "position reset", "--to", "soon", "--yes", status=2).stderr
    assert _positions(stopped) == before


def test_nothing_is_moved_while_a_sidecar_lives(service: Service) -> None:
    service.sidecar.start_and_stream()
    goal = format_lsn(service.current_lsn())
    for command in (
        ("position accept-gap",),
        ("position accept-gap", "--yes", "--new-source"),
        ("position reset", "--to", goal, "--yes"),
    ):
        assert "CDC-510" in _move(service, *command, status=2).stderr
    service.sql("INSERT INTO items VALUES (1, 1, 'a')")
    service.await_published()
    assert published_ids(service) == [1]
    assert not service.sidecar.events("session_ended")
    assert _show(service)["moves"] == []


def test_another_source_is_adopted_only_when_that_is_said(
    stopped: Service, make_service: Callable[..., Service], postgres: PostgresServer
) -> None:
    other = f"other_{stopped.name}"
    identity = f'transactional_id = "cdc.{stopped.name}.{stopped.name}_cdc"\n[topics]'
    new = make_service(
        MORE,
        name=stopped.name,
        **{
            stopped.dsn: postgres.dsn(other),
            f'slot = "{stopped.name}_cdc"': f'slot = "{stopped.name}_new"',
            "[topics]": identity,
        },
    )
    new.dsn = postgres.dsn(other)
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{other}"'.encode())
    try:
        _adopt(stopped, new)
    finally:
        new.sidecar.close()
        with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
            await_true(lambda: drop_slots(admin, other), what=f"the slots of {other} dropped")
            admin.execute(f'DROP DATABASE "{other}" WITH (FORCE)'.encode())


def _adopt(stopped: Service, new: Service) -> None:
    new.sql(
        "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
        f"SELECT pg_create_logical_replication_slot('{new.name}_new', 'pgoutput')",
        "INSERT INTO items VALUES (7, 7, 'on the new server')",
    )
    before = _positions(new)
    assert _show(new)["meaning"]["state"] == "another source"
    assert "CDC-503" in _move(new, "position accept-gap", "--yes", status=3).stderr
    run = _move(new, "position accept-gap", "--new-source")
    assert "cannot be" in run.stdout
    assert _positions(new) == before
    _move(new, "position accept-gap", "--new-source", "--yes")
    new.sidecar.start_and_stream()
    new.await_published()
    assert sorted(published_ids(new)) == [1, 7]
    assert _show(new)["moves"][0]["kind"] == "new-source"
    stopped.sidecar.start()
    assert stopped.sidecar.await_exit() == 3
    assert stopped.sidecar.events("sidecar_halted")[-1]["code"] == "CDC-503"
