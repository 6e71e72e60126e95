"""With TLS and credentials, commands go on working, and everyone else sees only the probes."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.certificates import Authority
from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.own_postgres import ITEMS
from tests.waiting import await_true


class _Client:
    """Reads pages with or without the token."""

    def __init__(self, service: Service, authority: Authority) -> None:
        self._url = f"https://127.0.0.1:{service.sidecar.port}"
        self._trust = ssl.create_default_context(cafile=str(authority.certificate_path))

    def get(self, path: str, token: str = "") -> tuple[int, str]:
        """Return status and body; (0, "") if nothing answers."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(self._url + path, headers=headers)  # noqa: S310 - https
        try:
            with urllib.request.urlopen(request, timeout=5, context=self._trust) as answer:  # noqa: S310 - https
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return an authority whose certificates the sidecar uses."""
    return Authority(tmp_path)


@pytest.fixture
def secured(make_service: Callable[..., Service], authority: Authority, tmp_path: Path) -> Service:
    """Return a service whose sidecar speaks TLS and asks for a password or a token."""
    certificate, key = authority.issue("page")
    (tmp_path / "password").write_text("very hidden\n")
    (tmp_path / "token").write_text("token one\n")
    http = f"""
tls_certificate = "{certificate}"
tls_key = "{key}"
username = "operator"
password = {{ file = "{tmp_path / "password"}" }}
bearer_token = {{ file = "{tmp_path / "token"}" }}
"""
    service = make_service(TABLES + MARKS, **{"[http]\n": f"[http]{http}"})
    service.sql(*ITEMS)
    return service


def test_commands_use_the_certificate_and_credentials_of_their_configuration_and_others_fail(
    secured: Service, authority: Authority, tmp_path: Path
) -> None:
    client, sidecar = _Client(secured, authority), secured.sidecar
    sidecar.start()
    await_true(lambda: client.get("/readyz")[0] == 200, what="the sidecar streams")
    assert client.get("/status")[0] == 401
    page = client.get("/", "token one")[1]
    assert client.get("/status", "token one")[0] == 200
    for secret in ("very hidden", "token one", "password="):
        assert secret not in page
        assert secret not in client.get("/status", "token one")[1]
    assert sidecar.run("status").stdout.startswith(f"{secured.name} streams")
    assert sidecar.run("snapshot status").returncode == 1  # there was none
    assert sidecar.run("health").stdout.startswith("healthy: https://")
    (tmp_path / "token").write_text("token two\n")
    assert client.get("/status", "token one")[0] == 401
    authority.issue("page")
    _refused_and_obeyed(secured)
    assert sidecar.events("tls_certificate_loaded")


def _refused_and_obeyed(secured: Service) -> None:
    """Ask with another configuration; then follow the hint of the refusal, CDC-121."""
    sidecar, own = secured.sidecar, secured.sidecar.config
    other = own.with_name("other.toml")
    other.write_text(own.read_text().replace("bearer_token = {", 'bearer_token = "x" #'))
    sidecar.config = other
    refused = sidecar.run("status")
    assert refused.returncode == 2
    assert "CDC-121" in refused.stderr
    assert "use the configuration file of that sidecar" in refused.stderr
    sidecar.config = own
    assert sidecar.run("status").returncode == 0
