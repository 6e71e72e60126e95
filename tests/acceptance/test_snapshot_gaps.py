"""After changes were lost, what is left of a snapshot is said, and made whole again."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.own_postgres import slot_column
from tests.acceptance.snapshot_oracle import Compared, read_seen
from tests.acceptance.test_snapshot import await_snapshots
from tests.acceptance.test_snapshot_again import read_ends
from tests.waiting import await_true

_SLOWLY = {'mode = "never"': 'mode = "initial"\nchunk_rows = 50\nmax_rows_per_second = 200'}
_BLOCK = '\n[[tables]]\nname = "public.{}"\ncolumns = ["*"]\n'


def _tables(service: Service) -> dict[str, Any]:
    """Return what `snapshot status` says, by the name of the table."""
    run = service.sidecar.run("snapshot status", "--json")
    return {table["table"]: table for table in json.loads(run.stdout)["tables"]}


@pytest.fixture
def gapped(make_service: Callable[..., Service]) -> Service:
    """Yield a stopped service with one whole snapshot, one under way, and then a gap."""
    service = make_service(_BLOCK.format("small") + _BLOCK.format("big") + MARKS, **_SLOWLY)
    service.sql(
        *(f"CREATE TABLE {name} (id int PRIMARY KEY, n int)" for name in ("small", "big")),
        "CREATE PUBLICATION cdc FOR ALL TABLES",
        "INSERT INTO small VALUES (1, 1), (2, 2)",
        "INSERT INTO big SELECT k, k FROM generate_series(1, 3000) k",
    )
    service.sidecar.start_and_stream()
    await_snapshots(service)
    await_true(lambda: _tables(service)["public.big"]["rows"] > 0, what="the big one is begun")
    assert service.sidecar.terminate() == 0
    slot = f"{service.name}_cdc"
    service.sql(
        f"SELECT pg_drop_replication_slot('{slot}')",
        "UPDATE small SET n = -1 WHERE id = 1",
        "UPDATE big SET n = -1 WHERE id <= 10",
        f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')",
        "SELECT pg_switch_wal()",
    )
    service.reconfigure("max_rows_per_second = 200", "max_rows_per_second = 0")
    return service


def _after(service: Service, table: str) -> dict[str, int]:
    """Return `n` of each row by its id, as the last event of the table has it."""
    (seen,) = read_seen(service, Compared(table))
    return {event.key: int((event.after or {})["n"] or 0) for event in seen}


@pytest.mark.parametrize("command", ["accept-gap", "reset"])
def test_after_a_gap_snapshots_are_incomplete_or_begin_again(gapped: Service, command: str) -> None:
    service, words = gapped, ["position accept-gap"]
    if command == "reset":  # back to the slot's begin is no gap; forward to it is one
        words = ["position reset", "--to", str(slot_column(service, "confirmed_flush_lsn"))]
    planned = service.sidecar.run(*words)
    assert "the snapshot of public.small is incomplete" in planned.stdout, planned.stderr
    assert "the snapshot of public.big begins again" in planned.stdout
    assert _tables(service)["public.small"]["phase"] == "done"
    assert service.sidecar.run(*words, "--yes").returncode == 0
    phases = {name: table["phase"] for name, table in _tables(service).items()}
    assert phases == {"public.small": "incomplete", "public.big": "waiting"}
    service.sidecar.start_and_stream()
    await_snapshots(service, 2)
    service.await_published()
    assert set(_after(service, "big").values()) >= {-1, 3000}
    assert "public.small incomplete" in service.sidecar.run("status").stdout
    hint = _tables(service)["public.small"]["error"]
    start, *names = hint.split("`")[1].removeprefix("cdc-sidecar snapshot ").split()
    assert service.sidecar.run(f"snapshot {start}", *names).returncode == 0
    await_snapshots(service, 3)
    service.await_published()
    assert Counter(_after(service, "small").values()) == {-1: 1, 2: 1}
    assert _tables(service)["public.small"]["phase"] == "done"


def test_a_move_back_leaves_snapshots_as_they_are(make_service: Callable[..., Service]) -> None:
    service = make_service(TABLES + MARKS, **{'mode = "never"': 'mode = "initial"'})
    service.sql(
        "CREATE TABLE small (id int PRIMARY KEY, n int)", "CREATE PUBLICATION cdc FOR ALL TABLES"
    )
    service.sidecar.start_and_stream()
    await_snapshots(service)
    assert service.sidecar.terminate() == 0
    begin = str(slot_column(service, "confirmed_flush_lsn"))
    service.sql("INSERT INTO small VALUES (1, 1)")
    service.sidecar.start(environment={"CDC_SIDECAR_FAILPOINTS": "after_commit#1=kill"})
    service.sidecar.await_exit()
    moved = service.sidecar.run("position reset", "--to", begin, "--yes")
    assert moved.returncode == 0, moved.stderr
    assert "snapshot" not in moved.stdout
    assert _tables(service)["public.small"]["phase"] == "done"


@pytest.mark.parametrize("large", [False, True], ids=["by pages", "by key"])
def test_a_reader_of_ranges_loses_the_rows_that_were_deleted_in_a_gap(
    make_service: Callable[..., Service], *, large: bool
) -> None:
    label = f"repeat('x', {3000 * large})"
    service = make_service(
        TABLES + MARKS + "[transactions]\ntopic = true\n",
        **{'mode = "never"': 'mode = "initial"\nchunk_rows = 50'},
    )
    service.sql(
        "CREATE TABLE items (id int PRIMARY KEY, n int, label text)",
        "ALTER TABLE items ALTER label SET STORAGE EXTERNAL",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
        f"INSERT INTO items SELECT k, k, {label} FROM generate_series(1, 300) k",
    )
    service.sidecar.start_and_stream()
    await_snapshots(service)
    assert service.sidecar.terminate() == 0
    slot = f"{service.name}_cdc"
    service.sql(
        f"SELECT pg_drop_replication_slot('{slot}')",
        "DELETE FROM items WHERE id % 10 = 0 OR id > 280",
        f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')",
    )
    assert service.sidecar.run("position accept-gap", "--yes").returncode == 0
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (290, 0, '')", "UPDATE items SET n = 0 WHERE id < 5")
    service.sql("UPDATE items SET id = 500 WHERE id = 7")
    assert service.sidecar.run("snapshot start", "public.items").returncode == 0
    service.sql("DELETE FROM items WHERE id = 11", "INSERT INTO items VALUES (11, 1, '')")
    await_snapshots(service, 2)
    service.await_published()
    wanted = {key for key in range(1, 281) if key % 10 and key != 7} | {290, 500}
    assert _replica(service) == wanted


def _replica(service: Service) -> set[int]:
    """Return the ids that a reader has who deletes what ranges no longer hold."""
    (seen,) = read_seen(service, Compared("items"))
    steps: list[tuple[int, int, Any]] = [(event.commit_lsn, 0, event) for event in seen]
    steps += [(lsn, 1, end["snapshot_range"]) for lsn, end in read_ends(service).items()]
    last: dict[int, int] = {}
    for lsn, is_range, step in sorted(steps, key=lambda each: each[:2]):
        if is_range:
            _delete(last, step)
        elif step.op == "d":
            last.pop(int(json.loads(step.key)["id"]), None)
        else:
            last[int(json.loads(step.key)["id"])] = lsn
    return set(last)


def _delete(last: dict[int, int], covered: dict[str, Any] | None) -> None:
    """Delete the rows of a range without an event since then; `last` has that of each row."""
    if covered is None:
        return
    assert (covered["table"], covered["columns"]) == ("public.items", ["id"])
    low = int(covered["after"][0]) if covered["after"] else 0
    high = int(covered["upto"][0]) if covered["upto"] else max(last)
    for key in [key for key in last if low < key <= high and last[key] < covered["since_lsn"]]:
        del last[key]
