"""A thread that dies or stands still never looks like a healthy sidecar."""

from pathlib import Path

import pytest

from tests.acceptance.broken_thread import VARIABLE
from tests.acceptance.conftest import Service
from tests.acceptance.own_postgres import halt_of
from tests.waiting import await_true

DEATHS = [
    ("replication", "SystemExit"),
    ("publisher", "MemoryError"),
    ("guardian", "SystemExit"),
    ("signals", "KeyboardInterrupt"),
    ("http", "SystemExit"),
    ("log", "KeyError"),
    ("MainThread", "MemoryError"),
]
BEATING = {"replication", "publisher", "guardian", "signals", "main"}


def _start(service: Service, trigger: Path, thread: str, error: str) -> None:
    trigger.unlink(missing_ok=True)
    service.sidecar.program = ("tests.acceptance.broken_thread", thread, error)
    service.sidecar.start(environment={VARIABLE: str(trigger)})
    service.sidecar.await_phase("streaming")


def test_each_thread_that_dies_ends_the_process_with_the_documented_status(
    service: Service, tmp_path: Path
) -> None:
    trigger = tmp_path / "trigger"
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    service.sidecar.terminate()
    for number, (thread, error) in enumerate(DEATHS):
        _start(service, trigger, thread, error)
        service.sql(f"INSERT INTO items VALUES ({number}, 1, 'x')")
        trigger.touch()
        halt = halt_of(service.sidecar, deadline=20)
        assert halt["code"] == "CDC-901"
        assert halt["fact"].startswith(f"{error} in thread {thread}")
        assert ".py:" in halt["where"]
    service.sidecar.program = ("cdc_sidecar",)
    service.sidecar.start_and_stream()
    service.await_published()
    assert service.assert_exactly_once(oracle, "items") == len(DEATHS)


def test_liveness_names_each_thread_that_stands_still(service: Service, tmp_path: Path) -> None:
    trigger = tmp_path / "trigger"
    _start(service, trigger, "all", "hang")
    await_true(
        lambda: (service.sidecar.status() or {})["threads"].keys() == BEATING, what="all beat"
    )
    assert service.sidecar.get("/livez") == (200, "ok\n")
    trigger.touch()
    await_true(lambda: set(_stuck(service)) == BEATING, what="every thread is named")
    assert service.sidecar.get("/livez")[0] == 503


@pytest.mark.parametrize("step", ["SessionStart.examine", "SessionStart.claim_position"])
def test_liveness_names_a_main_thread_that_hangs_while_a_session_starts(
    service: Service, step: str
) -> None:
    service.sidecar.program = ("tests.acceptance.broken_thread", step, "start")
    service.sidecar.start()
    await_true(lambda: _stuck(service) == ["main"], what="the main thread is named")
    assert service.sidecar.get("/livez")[0] == 503
    service.sidecar.kill()


def _stuck(service: Service) -> list[str]:
    text = (service.sidecar.get("/livez") or (0, ""))[1]
    return [name for name in BEATING if name in text]
