"""`status` says in one sentence how the sidecar is, and why it is down, whatever else is down."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.conftest import TABLES, Service
from tests.waiting import await_true

_AWAY = {"CDC_SIDECAR__KAFKA__BOOTSTRAP_SERVERS": '"127.0.0.1:1"'}
_NO_POSTGRES = {"CDC_SIDECAR__POSTGRES__DSN": '"host=127.0.0.1 port=1"'}


def _status(service: Service, *words: str, code: int, **environment: str) -> list[str]:
    """Run the command, check its exit status, and return its lines."""
    run = subprocess.run(
        [sys.executable, "-m", "cdc_sidecar", "status", "-c", str(service.sidecar.config), *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == code, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    return run.stdout.splitlines()


def _json(service: Service, *, code: int, **environment: str) -> dict[str, Any]:
    lines = _status(service, "--json", code=code, **environment)
    body: dict[str, Any] = json.loads("\n".join(lines))
    return body


def test_a_sidecar_that_streams_or_stands_by_is_said_to_in_one_sentence(
    service: Service, make_service: Callable[..., Service]
) -> None:
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items SELECT n FROM generate_series(1, 50) n")
    service.await_published()
    verdict, *lines = _status(service, code=0)
    assert verdict == f"{service.name} streams and is up to date."
    shown = {line[:10].strip(): line[10:] for line in lines}
    assert shown["source"].startswith("Postgres 1")
    assert "just now" in shown["position"] or " s ago" in shown["position"]
    assert shown["lag"].endswith("B of WAL")
    assert "events/s" in shown["rate"]
    body = _json(service, code=0)
    assert body["verdict"] == verdict
    assert body["rates"]["events_per_second"] > 0
    standby = make_service(TABLES, name=service.name)
    standby.sidecar.start()
    standby.sidecar.await_phase("waiting")
    assert "stands by" in _status(standby, code=0)[0]


def test_a_sidecar_is_asked_directly_and_one_elsewhere_is_not_mistaken(
    service: Service, make_service: Callable[..., Service]
) -> None:
    service.sidecar.start_and_stream()
    own = f"http://127.0.0.1:{service.sidecar.port}"
    proxy = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
    assert "streams" in _status(service, "--url", f"{own}/", code=0, **proxy)[0]
    elsewhere = _status(service, "--url", "http://127.0.0.1:1", code=1)[0]
    assert "process" in elsewhere
    assert "--url" in elsewhere
    other = make_service(TABLES)
    verdict, *lines = _status(other, "--url", own, code=1)
    assert f"{other.name} is down: it has not run yet" in verdict
    assert f"is the sidecar of {service.name}" in "\n".join(lines)


def test_status_knows_how_the_last_run_ended(service: Service) -> None:
    sidecar = service.sidecar
    sidecar.start_and_stream()
    assert sidecar.terminate() == 0
    assert "it was stopped" in _status(service, code=1)[0]
    sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1)")
    service.await_published()
    sidecar.kill()
    assert "without a last word" in _status(service, code=1)[0]


@pytest.fixture
def halted(make_service: Callable[..., Service]) -> Service:
    """Return a service whose sidecar halted because a table is not published any more."""
    made = make_service('\n[[tables]]\nname = "public.items"\ncolumns = ["*"]\n')
    made.sql("CREATE TABLE items (id int PRIMARY KEY)", "CREATE PUBLICATION cdc FOR TABLE items")
    made.sidecar.start_and_stream()
    assert made.sidecar.terminate() == 0
    made.sql("ALTER PUBLICATION cdc DROP TABLE items")
    made.sidecar.start()
    assert made.sidecar.await_exit(60) == 3, made.sidecar.log_text()
    return made


def test_after_a_halt_status_says_why_also_if_a_server_is_down(halted: Service) -> None:
    verdict, *lines = _status(halted, code=1)
    assert f"{halted.name} is down: it halted" in verdict
    assert "with CDC-208" in verdict
    assert any(line.startswith("  hint:") for line in lines)
    assert "halted" in _status(halted, code=1, **_NO_POSTGRES)[0]
    body = _json(halted, code=1, **_NO_POSTGRES)
    assert body["last_run"]["reason"]["code"] == "CDC-208"
    assert body["errors"]["postgres"]["code"] == "CDC-201"
    assert body["errors"]["kafka"] is None
    without_kafka = _json(halted, code=1, **_AWAY)
    assert without_kafka["slot"]["retained_bytes"] is not None
    assert without_kafka["server"]["version"]
    assert without_kafka["errors"]["kafka"]["code"] == "CDC-401"
    both = _status(halted, code=1, **_AWAY, **_NO_POSTGRES)
    assert "CDC-201" in "\n".join(both)
    assert "CDC-401" in "\n".join(both)


def test_a_halt_that_was_cured_is_history(halted: Service) -> None:
    halted.sql("DROP TABLE items", "CREATE TABLE items (id int PRIMARY KEY)")
    halted.sql("ALTER PUBLICATION cdc ADD TABLE items")
    halted.sidecar.start_and_stream()
    assert halted.sidecar.terminate() == 0
    verdict, *lines = _status(halted, code=1)
    assert "it was stopped" in verdict
    assert "CDC-208" not in "\n".join(lines)


def test_a_process_that_stays_after_its_halt_is_not_well(
    make_service: Callable[..., Service],
) -> None:
    absent = '\n[[tables]]\nname = "public.absent"\ncolumns = ["*"]\n'
    service = make_service(f'{absent}[shutdown]\non_halt = "stay"\n')
    service.sql("CREATE PUBLICATION cdc")
    service.sidecar.start()
    await_true(lambda: (service.sidecar.status() or {}).get("phase") == "halted", what="the halt")
    verdict, *lines = _status(service, code=1)
    assert f"{service.name} halted" in verdict
    assert "CDC-208" in verdict
    assert any("hint" in line for line in lines)
