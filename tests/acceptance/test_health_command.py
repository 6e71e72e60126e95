"""`cdc-sidecar health` asks the sidecar that its configuration names, whatever its address."""

import json

from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import Service
from tests.acceptance.obeying import Person, set_key
from tests.waiting import await_true

_AWAY = {"CDC_SIDECAR__KAFKA__BOOTSTRAP_SERVERS": '"127.0.0.1:1"'}


def _health(service: Service, *words: str) -> tuple[int, str]:
    """Return the exit status of the command and what it printed."""
    run = service.sidecar.run("health", *words)
    assert "Traceback" not in run.stderr
    return run.returncode, run.stdout + run.stderr


def _listen(service: Service, address: str) -> None:
    config = service.sidecar.config
    config.write_text(set_key(config.read_text(), "http", "listen", json.dumps(address)))


def test_it_tells_a_sidecar_that_works_from_one_that_is_ready_and_from_none(
    service: Service,
) -> None:
    sidecar = service.sidecar
    url = f"http://127.0.0.1:{sidecar.port}"
    _listen(service, f"0.0.0.0:{sidecar.port}")
    sidecar.start_and_stream()
    assert _health(service) == (0, f"healthy: {url}/livez says ok\n")
    status, line = _health(service, "--ready")
    assert status == 0
    assert line.startswith(f"ready: {url}/readyz says ")
    assert line.count("\n") == 1
    assert sidecar.terminate() == 0
    status, line = _health(service)
    assert status == 1
    assert line.startswith(f"not healthy: no answer from {url}/livez: Connection refused\n")
    assert "hint:" in line
    sidecar.start(environment=_AWAY)
    await_true(lambda: sidecar.get("/livez")[0] == 200, what="an answer")
    assert _health(service)[0] == 0
    status, line = _health(service, "--ready")
    assert status == 1
    assert line.startswith("not ready: ")


def test_after_the_hint_about_port_0_it_finds_the_sidecar_also_over_ipv6(
    service: Service, kafka: KafkaBroker, postgres: PostgresServer
) -> None:
    _listen(service, "[::1]:0")
    service.sidecar.start()
    status, printed = _health(service)
    assert status == 2
    error = Person(service, kafka, postgres).error(printed)
    assert error["code"] == "CDC-122"
    assert "set another port than 0 in [http] listen" in error["hint"]
    service.sidecar.kill()
    port = free_port()
    _listen(service, f"[::1]:{port}")
    service.sidecar.start()

    def healthy() -> bool:
        return _health(service) == (0, f"healthy: http://[::1]:{port}/livez says ok\n")

    await_true(healthy, what="health over IPv6")
