"""The process as its parent sees it: signals at any time, exit statuses, descriptors."""

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.acceptance.conftest import Service
from tests.waiting import await_true

pytestmark = pytest.mark.usefixtures("fresh_processes")

STOPS = [("SIGTERM", "typer"), ("SIGINT", "confluent_kafka")]
FEW = 64  # descriptors


def _interrupted(service: Service, number: str, module: str, *command: str) -> tuple[int, str]:
    """Run a command that gets a signal during an import; return its status and output."""
    words = [number, module, *command, "--config", str(service.sidecar.config)]
    run = subprocess.run(
        [sys.executable, "-m", "tests.acceptance.interrupted_import", *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr


@pytest.mark.parametrize(("number", "module"), STOPS, ids=[number for number, _ in STOPS])
def test_a_stop_during_the_imports_is_an_orderly_one(
    service: Service, number: str, module: str
) -> None:
    status, output = _interrupted(service, number, module, "run")
    assert status == 0, output
    assert f'"stop_requested", "service": "{service.name}", "signal": "{number}"' in output
    assert '"sidecar_stopped"' in output
    assert "stream_started" not in output
    assert "Traceback" not in output


def test_a_stop_before_the_session_streams_is_an_orderly_one(service: Service) -> None:
    sidecar = service.sidecar
    sidecar.start()
    await_true(lambda: "sidecar_started" in sidecar.log_text(), what="it starts")
    assert sidecar.terminate(20) == 0
    assert sidecar.events("sidecar_stopped")


def test_ctrl_c_ends_other_commands_without_a_traceback(service: Service) -> None:
    status, output = _interrupted(service, "SIGINT", "typer", "check")
    assert (status, output) == (-signal.SIGINT, "")
    status, output = _interrupted(service, "SIGINT", "confluent_kafka", "check")
    assert status in {1, 130}
    assert "Traceback" not in output


def test_quit_reports_where_each_thread_is_and_the_sidecar_goes_on(service: Service) -> None:
    service.sidecar.start_and_stream()
    service.sidecar.process.send_signal(signal.SIGQUIT)
    await_true(lambda: service.sidecar.events("threads_reported"), what="the report")
    (report,) = service.sidecar.events("threads_reported")
    names = {name.split("-")[0] for name in report["threads"]}
    assert {"MainThread", "replication", "publisher", "guardian", "signals", "http"} <= names
    assert "publisher.py:" in report["threads"]["publisher-1"]
    service.sql("INSERT INTO items VALUES (1, 1, 'x')")
    service.await_published()
    assert service.sidecar.terminate() == 0


def test_idle_clients_take_nothing_from_the_stream_and_keep_nobody_out(service: Service) -> None:
    sidecar = service.sidecar
    sidecar.wrapper = ("sh", "-c", f'ulimit -n {FEW}; exec "$@"', "sh")
    sidecar.start_and_stream()
    oracle = service.oracle()
    with ExitStack() as clients:
        for _ in range(FEW * 2):
            client = socket.create_connection(("127.0.0.1", sidecar.port), timeout=10)
            clients.enter_context(client)
        assert sidecar.get("/livez") == (200, "ok\n")
        service.sql(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
            f" WHERE slot_name = '{service.name}_cdc'",
        )
        await_true(lambda: len(sidecar.events("stream_started")) == 2, what="a second session")
        service.sql("INSERT INTO items VALUES (1, 1, 'x')")
        service.await_published()
        assert sidecar.get("/livez") == (200, "ok\n")
    assert service.assert_exactly_once(oracle, "items") == 1
    assert sidecar.terminate() == 0
