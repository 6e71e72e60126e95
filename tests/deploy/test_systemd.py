"""The systemd unit: systemd accepts it, finds it well confined, and the sidecar works confined."""

import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.units import parse_duration
from cdc_sidecar.runtime.signals import GAVE_UP, OVERTIME
from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.conftest import MARKS, TABLES, Service, service_maker
from tests.deploy.manifests import DEPLOY
from tests.effort import LONG

_FOLDER = DEPLOY / "systemd"
_UNIT = _FOLDER / "cdc-sidecar@.service"
_PROGRAM = "/opt/cdc-sidecar/bin/cdc-sidecar"
_EXPOSURE = 15
"""Tenths of what `systemd-analyze security` calls exposure: from 0 to 100; below 20 is "OK"."""
_ANALYZE = shutil.which("systemd-analyze")
_LINUX = tuple(int(number) for number in re.findall(r"\d+", platform.release())[:2])
needs_systemd = pytest.mark.skipif(_ANALYZE is None, reason="apt-get install systemd")


@pytest.fixture
def service(database: str, kafka: KafkaBroker, tmp_path: Path) -> Iterator[Service]:
    """Yield a service with one published table `items`."""
    with service_maker(database, kafka.bootstrap_servers, tmp_path) as make:
        made = make(TABLES + MARKS)
        made.sql(
            "CREATE TABLE items (id bigint PRIMARY KEY)", "CREATE PUBLICATION cdc FOR ALL TABLES"
        )
        yield made


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Yield an instance of the unit, with a program that exists."""
    text = _UNIT.read_text("utf-8")
    assert _PROGRAM in text
    (tmp_path / _UNIT.name).write_text(text.replace(_PROGRAM, "/bin/true"), encoding="utf-8")
    instance = tmp_path / "cdc-sidecar@orders.service"
    instance.symlink_to(_UNIT.name)
    return instance


def _analyze(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [str(_ANALYZE), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_systemd_accepts_every_line_of_the_unit(unit: Path) -> None:
    verified = _analyze("verify", "--man=no", unit)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


@needs_systemd
def test_systemd_refuses_a_misspelt_line(unit: Path) -> None:
    path = unit.with_name(_UNIT.name)
    path.write_text(path.read_text("utf-8").replace("ProtectClock", "ProtectClok"), "utf-8")
    assert "ProtectClok" in _analyze("verify", "--man=no", unit).stderr


@needs_systemd
def test_systemd_finds_the_unit_hardly_exposed(unit: Path) -> None:
    judged = _analyze("security", "--offline=true", f"--threshold={_EXPOSURE}", unit)
    assert judged.returncode == 0, judged.stdout


def test_only_what_a_restart_may_clear_is_restarted() -> None:
    settings = _settings()
    assert settings["Restart"] == ["on-failure"]
    assert settings["RestartPreventExitStatus"] == ["2 3"]
    assert GAVE_UP == 4
    assert settings["StartLimitIntervalSec"] == ["0"]


def test_systemd_waits_until_the_sidecar_has_ended_by_itself() -> None:
    (stop,) = _settings()["TimeoutStopSec"]
    (grace,) = re.findall(r'grace = "(.+)"', (_FOLDER / "orders.toml").read_text("utf-8"))
    assert int(stop) > parse_duration(grace) + OVERTIME


def test_the_variables_lead_to_the_credentials(tmp_path: Path) -> None:
    settings = _settings()
    for credential in settings["LoadCredential"]:
        name, _, source = credential.partition(":")
        assert source == f"/etc/cdc-sidecar/secrets/%i/{name}"
        (tmp_path / name).write_text(f"the {name}\n", encoding="utf-8")
    config = load_config(_FOLDER / "orders.toml", _environment(settings, tmp_path))
    assert config.postgres.password is not None
    assert config.postgres.password.read() == "the postgres-password"
    assert config.kafka.client["sasl.password"].read() == "the kafka-password"
    assert str(config.snapshot.socket) == "/run/cdc-sidecar/orders/control.sock"


@needs_systemd
@pytest.mark.skipif(_LINUX < (6, 3), reason="memory that stays data needs Linux 6.3")
@pytest.mark.skipif(not LONG, reason="it starts a sidecar: make deploy-test")
def test_the_sidecar_streams_and_stops_with_the_calls_and_memory_that_the_unit_allows(
    service: Service, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    calls.write_text("\n".join(sorted(_allowed_calls())), encoding="utf-8")
    confined = (sys.executable, "-m", "tests.deploy.confined", str(calls))
    service.sidecar.wrapper = confined
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    service.sql("INSERT INTO items SELECT generate_series(1, 100)")
    service.await_published()
    service.assert_exactly_once(oracle, "items")
    assert "process_start_time_seconds" in service.sidecar.get("/metrics")[1]
    assert service.sidecar.terminate() == 0, service.sidecar.log_text()
    for source in ("mmap.mmap(-1, 4096, prot=7)", "os.chroot('/')"):
        assert "[Errno" in _failure([*confined, sys.executable, "-c", f"import mmap, os; {source}"])


def _failure(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    return done.stderr


def _settings() -> dict[str, list[str]]:
    """Return the values of each setting of the unit, in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in _UNIT.read_text("utf-8").splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith(("#", "[")):
            found[name].append(value)
    return found


def _environment(settings: dict[str, list[str]], credentials: Path) -> dict[str, str]:
    """Return the variables of the unit, with systemd's specifiers replaced."""
    replaced = {"%d": str(credentials), "%t": "/run", "%i": "orders"}
    lines = settings["Environment"]
    for specifier, value in replaced.items():
        lines = [line.replace(specifier, value) for line in lines]
    words = [word for line in lines for word in shlex.split(line)]
    return dict(word.split("=", 1) for word in words)


def _allowed_calls() -> set[str]:
    """Return the system calls that the unit's SystemCallFilter leaves."""
    allowed, denied = _settings()["SystemCallFilter"]
    assert denied.startswith("~")
    return _calls(allowed.split()) - _calls(denied[1:].split())


def _calls(names: list[str]) -> set[str]:
    """Return the system calls of groups, which may contain other groups."""
    found: set[str] = set()
    for name in names:
        if not name.startswith("@"):
            found.add(name)
            continue
        listed = _analyze("syscall-filter", name).stdout.splitlines()[1:]
        found |= _calls([line.strip() for line in listed if not line.strip().startswith("#")])
    return found
