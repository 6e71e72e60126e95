"""A log that nobody reads stops nothing, delays no signal, and is counted."""

import fcntl
import json
import os
import signal
from pathlib import Path

import pytest

from tests.acceptance.conftest import Service
from tests.acceptance.own_postgres import metric
from tests.waiting import await_true

pytestmark = pytest.mark.usefixtures("fresh_processes")

DROPPED = "log_lines_dropped_total"
EVENTS = 'events_total{op="c",table="public.items"}'
ROWS = 30


def _publish(service: Service) -> None:
    """Publish rows one by one; the sidecar logs a line for each."""
    for row in range(ROWS):
        service.sql(f"INSERT INTO items VALUES ({row}, 1, 'x')")
        service.await_published()
    assert metric(service.sidecar, EVENTS) == ROWS


def _start(service: Service, stderr: int) -> None:
    service.sidecar.stderr = stderr
    service.sidecar.start()


def _stop_in_good_health(service: Service) -> None:
    assert service.sidecar.get("/livez")[0] == service.sidecar.get("/readyz")[0] == 200
    assert service.sidecar.terminate(10) == 0


def test_a_log_whose_reader_has_gone_stops_nothing(service: Service) -> None:
    reading, writing = os.pipe()
    _start(service, writing)
    os.close(writing)
    service.sidecar.await_phase("streaming")
    os.close(reading)
    oracle = service.oracle()
    _publish(service)
    assert metric(service.sidecar, DROPPED) > 0
    assert service.assert_exactly_once(oracle, "items") == ROWS
    _stop_in_good_health(service)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_full_pipe_stops_nothing_and_the_lines_in_it_are_whole(
    service: Service, *, blocking: bool
) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, blocking)
    _start(service, writing)
    os.close(writing)
    service.sidecar.await_phase("streaming")
    _publish(service)
    service.sidecar.process.send_signal(signal.SIGQUIT)  # a long line, which nobody reads either
    _stop_in_good_health(service)
    with os.fdopen(reading, "rb") as pipe:
        *whole, _ = pipe.read().split(b"\n")  # the last one may be torn
    assert json.loads(whole[0])["event"] == "sidecar_started"
    assert all(json.loads(line) for line in whole)


def test_the_reader_of_a_pipe_may_pause_and_misses_no_line_that_fits_the_queue(
    service: Service,
) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    _start(service, writing)
    os.close(writing)
    service.sidecar.await_phase("streaming")
    _publish(service)
    service.sidecar.process.send_signal(signal.SIGTERM)
    with os.fdopen(reading, "rb") as pipe:
        events = [json.loads(line)["event"] for line in pipe]
    assert service.sidecar.await_exit(10) == 0
    assert events[-1] == "sidecar_stopped"
    assert events.count("transaction_published") >= ROWS
    assert "log_lines_dropped" not in events


def test_a_full_disk_stops_nothing(service: Service) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        _start(service, full.fileno())
    service.sidecar.await_phase("streaming")
    _publish(service)
    assert metric(service.sidecar, DROPPED) > 0
    _stop_in_good_health(service)


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "<&-", ">&-", "2>&-"])
def test_standard_streams_that_are_closed_are_no_sockets_of_ours(
    service: Service, closed: str
) -> None:
    service.sidecar.wrapper = ("sh", "-c", f'exec "$@" {closed}', "sh")
    service.sidecar.start_and_stream()
    _publish(service)
    folder = Path(f"/proc/{service.sidecar.process.pid}/fd")
    standard = [str((folder / number).readlink()) for number in "012"]
    assert standard.count("/dev/null") >= closed.count("&-")
    assert not any(target.startswith(("socket:", "anon_inode:")) for target in standard)
    assert (metric(service.sidecar, DROPPED) > 0) == ("2>" in closed)
    _stop_in_good_health(service)


def test_a_person_who_closes_the_terminal_stops_the_sidecar_in_order(service: Service) -> None:
    controlling, terminal = os.openpty()
    _start(service, terminal)
    os.close(terminal)
    service.sidecar.await_phase("streaming")
    os.close(controlling)
    _publish(service)  # every write fails, and no signal comes: it has another session
    await_true(lambda: metric(service.sidecar, DROPPED) > 0, what="the lines are counted")
    service.sidecar.process.send_signal(signal.SIGHUP)
    assert service.sidecar.await_exit(10) == 0
