"""`health` finds the address of the sidecar without the model of the configuration."""

import subprocess
import sys
from pathlib import Path

import pytest

from cdc_sidecar.config.address import Address
from cdc_sidecar.errors import ConfigInvalid, ConfigUnreadable
from cdc_sidecar.http.probe import Target, ask_health, configured_target
from cdc_sidecar.servers.host import free_port

_VARIABLE = "CDC_SIDECAR__HTTP__LISTEN"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a configuration that is complete only for the command."""
    path = tmp_path / "orders.toml"
    path.write_text('[http]\nlisten = "127.0.0.1:7"\n')
    return path


def test_the_address_is_that_of_the_file_and_the_variable_precedes_it(config: Path) -> None:
    assert configured_target(config, {}).url == "http://127.0.0.1:7"
    assert configured_target(config, {_VARIABLE: "[::]:8"}).url == "http://[::1]:8"
    assert configured_target(config, {_VARIABLE: "[fe80::1]:8"}).address == Address("fe80::1", 8)
    config.write_text("")
    assert configured_target(config, {}).url == "http://127.0.0.1:9464"


def test_an_address_in_a_secret_is_read(config: Path, tmp_path: Path) -> None:
    (tmp_path / "address").write_text("db.internal:9\n")
    config.write_text(f'[http]\nlisten = {{ file = "{tmp_path}/address" }}\n')
    assert configured_target(config, {}).address == Address("db.internal", 9)
    (tmp_path / "address").unlink()
    with pytest.raises(ConfigInvalid, match="address: FileNotFoundError"):
        configured_target(config, {})


@pytest.mark.parametrize("text", ["[http]\nlisten = 9464", 'http = "x"', '[http]\nlisten = "x"'])
def test_what_is_no_address_is_refused_in_the_words_of_run(config: Path, text: str) -> None:
    config.write_text(text)
    with pytest.raises(ConfigInvalid, match=r": http.listen: must be host:port"):
        configured_target(config, {})


def test_a_file_that_does_not_exist_is_an_error_with_a_code(tmp_path: Path) -> None:
    with pytest.raises(ConfigUnreadable):
        configured_target(tmp_path / "nowhere.toml", {})


def test_silence_is_told_with_its_reason() -> None:
    found = ask_health(Target(Address("127.0.0.1", free_port())), "/livez")
    assert (found.good, found.answered, found.text) == (False, False, "Connection refused")
    found = ask_health(Target(Address("nowhere.invalid", 9464)), "/livez")
    assert (found.good, found.answered) == (False, False)
    assert found.text


def test_it_starts_without_the_libraries_of_the_daemon(config: Path) -> None:
    config.write_text(f'[http]\nlisten = "127.0.0.1:{free_port()}"\n')
    code = (
        "import sys\nfrom cdc_sidecar.cli import app\n"
        "try:\n    app(sys.argv[1:])\n"
        "except SystemExit as end:\n    print(end.code, *sys.modules)"
    )
    words = [sys.executable, "-c", code, "health", "-c", str(config)]
    status, *modules = subprocess.check_output(words, text=True, stderr=subprocess.PIPE).split()
    assert status == "1"
    packages = {module.partition(".")[0] for module in modules}
    heavy = {"psycopg", "confluent_kafka", "fastavro", "prometheus_client", "rich"}
    assert packages & heavy == set()
    assert "cdc_sidecar.http.probe" in modules
    assert "cdc_sidecar.config.model" not in modules
