"""The image is small, says what is in it, and streams with the rights of a restricted pod."""

import json
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.acceptance.conftest import Service
from tests.acceptance.events import read_topics
from tests.image.bases import BASES
from tests.image.contents import weigh
from tests.image.engine import Engine
from tests.waiting import await_true

_MEGABYTE: Final = 1_000_000
_LARGEST: Final = 150 * _MEGABYTE
_ROWS: Final = 1000
_PACKAGES: Final = Path("opt/cdc-sidecar")


@pytest.fixture(scope="session")
def files(engine: Engine, image: str) -> Path:
    """Return the folder with the files of the image."""
    return engine.mount(image)


def test_the_image_is_small(engine: Engine, image: str, files: Path) -> None:
    size = engine.inspect(image)["Size"]
    base = engine.inspect(BASES[0].name)["Size"]
    print(f"\nsize: {size / _MEGABYTE:.1f} MB, base image: {base / _MEGABYTE:.1f} MB")
    for component, weight in weigh(files).items():
        print(f"  {component:<20}{weight / _MEGABYTE:>8.1f} MB")
    assert size < _LARGEST


def test_it_says_what_it_is_and_how_to_ask_it(engine: Engine, image: str) -> None:
    facts = engine.inspect(image)
    labels = {name.rpartition(".")[2]: text for name, text in facts["Labels"].items()}
    assert labels["title"] == "cdc-sidecar"
    assert labels["version"] == version("cdc-sidecar")
    assert labels["licenses"] == "Apache-2.0"
    assert facts["Healthcheck"]["Test"] == ["CMD", "cdc-sidecar", "health"]
    assert facts["Config"]["StopSignal"] == "SIGTERM"
    assert facts["User"] == "65532:65532"


def test_its_bill_of_materials_names_every_package_and_version(files: Path) -> None:
    bill = json.loads((files / _PACKAGES / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    listed = {(each["name"].lower(), each["version"]) for each in bill["components"]}
    root = bill["metadata"]["component"]
    listed.add((root["name"], root["version"]))
    found = set()
    for metadata in (files / _PACKAGES).rglob("*.dist-info/METADATA"):
        fields = dict(
            line.split(": ", 1)
            for line in metadata.read_text().split("\n\n")[0].splitlines()
            if line.startswith(("Name: ", "Version: "))
        )
        found.add((fields["Name"].lower(), fields["Version"]))
    assert found - listed == set()
    assert ("cdc-sidecar", version("cdc-sidecar")) in found


def test_it_has_no_package_manager_and_no_compiler(files: Path) -> None:
    for program in ("apt", "apt-get", "perl", "gcc", "pip", "pip3"):
        assert not list(files.glob(f"usr/**/bin/{program}")), program
    assert not list(files.glob("usr/**/site-packages/pip"))


def test_it_streams_as_nobody_on_a_read_only_root_and_stops_in_order(
    engine: Engine, image: str, service: Service
) -> None:
    oracle = service.oracle()
    container = engine.create(image, service.sidecar.config)
    engine.podman("start", container)
    process = int(engine.state(container)["Pid"])
    await_true(lambda: _streams(engine, container, service), deadline=60, what="it streams")
    print(f"\nstart: streams {_age(process):.2f} s after the start of the process, topics included")
    assert "65532" in _said(process, "Uid")
    assert int(_said(process, "CapEff"), 16) == 0
    service.sql(f"INSERT INTO items SELECT n, 'item' FROM generate_series(1, {_ROWS}) n")
    topics = service.topics("items")
    await_true(
        lambda: sum(map(len, read_topics(service.kafka, topics).values())) == _ROWS,
        what="the events in Kafka",
    )
    assert service.assert_exactly_once(oracle, "items") == _ROWS
    resident, peak = _said(process, "VmRSS"), _said(process, "VmHWM")
    print(f"memory: {resident} resident, {peak} at most")
    started = time.monotonic()
    print(engine.podman("exec", container, "cdc-sidecar", "health"))
    print(f"health: {time.monotonic() - started:.2f} s with the start of a process by Podman")
    assert "ready: " in engine.podman("exec", container, "cdc-sidecar", "health", "--ready")
    print(engine.podman("exec", container, "cdc-sidecar", "status").splitlines()[0])
    started = time.monotonic()
    engine.podman("stop", "--time", "40", container)
    print(f"stop: {time.monotonic() - started:.2f} s after SIGTERM")
    assert engine.state(container)["ExitCode"] == 0, engine.podman("logs", container)
    with psycopg.connect(service.dsn) as connection:
        slots = connection.execute("SELECT slot_name, active FROM pg_replication_slots").fetchall()
    assert (f"{service.name}_cdc", False) in slots


def _streams(engine: Engine, container: str, service: Service) -> bool:
    status = service.sidecar.status()
    assert status or engine.state(container)["Running"], engine.podman("logs", container)
    return status is not None and status["phase"] == "streaming"


def _said(process: int, name: str) -> str:
    """Return a field of the status of a process."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return line.partition(":")[2].strip()


def _age(process: int) -> float:
    """Return the seconds since the start of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text().split()[0]) - started
