"""`cdc-sidecar snapshot`: a person starts, stops and watches snapshots of a running sidecar."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from cdc_sidecar.config.load import load_config
from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.snapshot_oracle import assert_snapshot
from tests.acceptance.test_snapshot import ITEMS, await_snapshots
from tests.waiting import await_true

_SLOWLY = {'mode = "never"': 'mode = "initial"\nchunk_rows = 50\nmax_rows_per_second = 100'}


def _run(service: Service, *words: str, status: int = 0) -> CompletedProcess[str]:
    command, *rest = words
    done = service.sidecar.run(f"snapshot {command}", *rest)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def _progress(service: Service) -> dict[str, object]:
    body = json.loads(_run(service, "status", "--json").stdout)
    table: dict[str, object] = body["tables"][0]
    return table


def _socket(service: Service) -> Path:
    return load_config(service.sidecar.config).control_socket


@pytest.fixture
def items(make_service: Callable[..., Service]) -> Service:
    """Yield a service with 600 rows, and snapshots only on request."""
    service = make_service(TABLES + MARKS)
    service.sql(*ITEMS, "INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 600) n")
    return service


def test_a_table_is_sent_on_request_and_again_and_in_part(items: Service) -> None:
    service = items
    service.sidecar.start_and_stream()
    assert stat.S_IMODE(_socket(service).stat().st_mode) == 0o600
    service.sql("TRUNCATE items")
    oracle = service.oracle()
    service.sql("INSERT INTO items SELECT n, n % 2, 'x' FROM generate_series(1, 600) n")
    assert "public.items will be sent" in _run(service, "start", "public.items").stdout
    await_snapshots(service)
    service.await_published()
    seen = assert_snapshot(service, oracle, "items")
    rows = [event for event in seen if event.op == "r"]
    assert (len(rows), {event.snapshot for event in rows}) == (600, {"incremental"})
    _run(service, "start", "public.items", "--where", "n = 1")
    await_snapshots(service, tables=2)
    service.await_published()
    assert sum(e.op == "r" for e in assert_snapshot(service, oracle, "items")) == 900
    shown = _run(service, "status").stdout
    assert "public.items  ████████████████████ 100%  done, 300 rows" in shown
    service.sidecar.kill()
    assert "100%  done, 300 rows" in _run(service, "status").stdout
    assert "nothing to do" in _run(service, "pause", status=1).stdout


def test_a_snapshot_is_paused_limited_resumed_and_survives_a_restart(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES + MARKS, **_SLOWLY)
    service.sql(ITEMS[0], ITEMS[1])
    oracle = service.oracle()
    service.sql("INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 4000) n")
    service.sidecar.start_and_stream()
    await_true(lambda: _progress(service)["rows"], what="some rows")
    assert "public.items is paused" in _run(service, "pause").stdout
    paused = _progress(service)
    assert (paused["phase"], paused["paused"]) == ("reading", True)
    service.sidecar.kill()
    service.sidecar.start_and_stream()
    assert _progress(service) == paused
    assert "has another limit" in _run(service, "rate", "100000").stdout
    assert "goes on" in _run(service, "resume", "public.items").stdout
    await_snapshots(service)
    service.await_published()
    seen = assert_snapshot(service, oracle, "items")
    assert sum(event.op == "r" for event in seen) == 4000


def test_a_snapshot_is_cancelled_and_its_events_stay(make_service: Callable[..., Service]) -> None:
    service = make_service(TABLES + MARKS, **_SLOWLY)
    service.sql(*ITEMS, "INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 4000) n")
    service.sidecar.start_and_stream()
    await_true(lambda: _progress(service)["rows"], what="some rows")
    assert "is cancelled" in _run(service, "cancel", "public.items").stdout
    assert _progress(service)["phase"] == "cancelled"
    assert "nothing to do" in _run(service, "resume", status=1).stdout
    service.sidecar.kill()
    service.sidecar.start_and_stream()
    assert json.loads(service.sidecar.get("/status")[1])["snapshot"] is None
    service.sql("INSERT INTO items VALUES (5000, 1, 'y')")
    service.await_published()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("public.itmes",), "did you mean public.items?"),
        (("public.items", "--where", "no_column = 1"), "no_column"),
        (
            ("public.items", "--where", "true) ; DELETE FROM items; SELECT (true"),
            "multiple commands",
        ),
    ],
    ids=["misspelt", "no such column", "two statements"],
)
def test_a_request_that_makes_no_sense_is_refused(
    items: Service, words: tuple[str, ...], said: str
) -> None:
    items.sidecar.start_and_stream()
    done = items.sidecar.run("snapshot start", *words)
    assert done.returncode == 2
    assert "CDC-512" in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_plan_says_how_each_table_would_be_read(items: Service) -> None:
    items.sql(
        "ANALYZE items",
        "CREATE TABLE large (id int PRIMARY KEY, t text)",
        "ALTER TABLE large ALTER t SET STORAGE EXTERNAL",
        "INSERT INTO large SELECT 1, string_agg(md5(n::text), '') FROM generate_series(1, 500) n",
    )
    tables = ("public.items", "public.large")
    printed = _run(items, "start", *tables, "--dry-run").stdout.splitlines()
    assert printed[0].startswith("public.items: by pages, about 600 rows, ")
    assert printed[1].startswith("public.large: by key (id), rows unknown")
    assert (
        "did you mean public.items?"
        in _run(items, "start", "public.itmes", "--dry-run", status=2).stderr
    )


def test_without_a_place_for_its_socket_the_sidecar_runs_and_says_so(items: Service) -> None:
    items.reconfigure('mode = "never"', 'mode = "never"\nsocket = "/nowhere/control.sock"')
    items.sidecar.start_and_stream()
    (warning,) = items.sidecar.events("control_unavailable")
    assert warning["path"] == "/nowhere/control.sock"


def test_check_says_which_rows_would_be_sent_and_how_long_that_takes(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES + MARKS, **{'mode = "never"': 'mode = "initial"'})
    service.sql(*ITEMS, "INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 600) n")
    assert "1 table with at least 0 rows" in _said_of_snapshots(service)
    service.sql("ANALYZE items")
    assert "1 table with about 600 rows" in _said_of_snapshots(service)
    service.sidecar.start_and_stream()
    await_snapshots(service)
    service.await_published()
    assert _said_of_snapshots(service) == "none is due"


def _said_of_snapshots(service: Service) -> str:
    checks = json.loads(service.sidecar.run("check", "--json").stdout)["checks"]
    (said,) = [str(check["fact"]) for check in checks if check["subject"] == "snapshots"]
    return said


def test_without_a_sidecar_a_request_is_noted_for_the_next_start(items: Service) -> None:
    service = items
    service.sidecar.start_and_stream()
    service.await_published()
    assert service.sidecar.terminate() == 0
    refused = _run(service, "start", "public.items", "--where", "no_column = 1", status=2)
    assert "no_column" in refused.stderr
    said = _run(service, "start", "public.items", "--where", "id <= 10").stdout
    assert said == "public.items will be sent when the sidecar starts: it is down\n"
    assert _progress(service)["phase"] == "waiting"
    _run(service, "pause")
    _run(service, "resume")
    service.sidecar.start_and_stream()
    await_snapshots(service)
    assert _progress(service)["rows"] == 10


def test_a_sidecar_that_runs_elsewhere_is_not_passed_by(items: Service) -> None:
    service = items
    service.sidecar.start_and_stream()
    config = service.sidecar.config
    config.write_text(config.read_text().replace("[snapshot]", '[snapshot]\nsocket = "/nowhere"'))
    refused = _run(service, "start", "public.items", status=2)
    assert "no sidecar answers" in refused.stderr
    assert "where the sidecar runs" in refused.stderr
