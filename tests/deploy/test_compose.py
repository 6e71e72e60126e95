"""The compose file: its parts fit together, and its database, writer and configuration work."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from cdc_sidecar.commands.setup_sql import render_sql
from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.units import parse_duration
from cdc_sidecar.runtime.signals import OVERTIME
from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.events import read_topics
from tests.acceptance.sidecar import Sidecar
from tests.deploy.manifests import DEPLOY, documents
from tests.deploy.tools import COMPOSE, attempt, needs, output_of
from tests.waiting import await_true

_FOLDER = DEPLOY / "compose"
_PROJECT = documents((_FOLDER / "compose.yaml").read_text("utf-8"))[0]
_SERVICES: dict[str, Any] = _PROJECT["services"]
_CONFIG = load_config(_FOLDER / "orders.toml", environment={})
_PLACE = re.compile(r"(@|://)(?:kafka|localhost)?:(\d+)")
_TRANSACTIONS = 20  # of the writer


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Yield a Postgres with the options and the scripts of the compose file."""
    options = [word.removeprefix("--").split("=") for word in _SERVICES["postgres"]["command"][1:]]
    with PostgresServer(settings=dict(options), fsync=False) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            admin.execute("CREATE DATABASE orders")
        for script in sorted((_FOLDER / "postgres").iterdir()):
            _psql(server, "--set", "ON_ERROR_STOP=1", "--file", str(script))
        yield server


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaBroker]:
    """Yield a broker with the settings of the compose file, on ports of this machine."""
    made = KafkaBroker()
    places = {"9092": free_port(), "19092": made.port, "29093": made.controller_port}
    for name, value in _kafka_settings().items():
        made.properties[name] = _PLACE.sub(
            lambda match: f"{match[1]}127.0.0.1:{places[match[2]]}", str(value)
        )
    with made:
        yield made


def _kafka_settings() -> dict[str, object]:
    """Return the broker's settings: the image makes them of variables."""
    given = _SERVICES["kafka"]["environment"]
    names = given.keys() - {"CLUSTER_ID"}
    return {name.removeprefix("KAFKA_").lower().replace("_", "."): given[name] for name in names}


@pytest.fixture
def sidecar(
    server: PostgresServer, broker: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sidecar]:
    """Yield a sidecar with the configuration of the compose file, on the servers of the test."""
    port = free_port()
    given = {f"CDC_SIDECAR__{key}": value for key, value in _environment(server, broker, port)}
    for key, value in {**_SERVICES["sidecar"]["environment"], **given}.items():
        monkeypatch.setenv(key, value)
    config = tmp_path / "orders.toml"
    config.write_text((_FOLDER / "orders.toml").read_text("utf-8"), encoding="utf-8")
    made = Sidecar(config, port)
    yield made
    made.close()


def _environment(
    server: PostgresServer, broker: KafkaBroker, port: int
) -> Iterator[tuple[str, str]]:
    yield "POSTGRES__DSN", f"host=127.0.0.1 port={server.port} dbname=orders user=cdc_sidecar"
    yield "KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap_servers
    yield "HTTP__LISTEN", f"127.0.0.1:{port}"


def _psql(server: PostgresServer, *words: str) -> None:
    command: list[str | Path] = [server.bin("psql"), "--no-psqlrc", server.dsn("orders"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def _write(server: PostgresServer) -> None:
    """Run the writer of the compose file for a few transactions instead of a week."""
    service = _SERVICES["writer"]
    assert "--file=/writer.sql" in service["command"]
    options = [word for word in service["command"] if not word.startswith(("--time=", "--file="))]
    ours = [f"--transactions={_TRANSACTIONS}", f"--file={_FOLDER / 'writer.sql'}"]
    command: list[str | Path] = [server.bin(service["entrypoint"][0]), *options, *ours]
    place = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port)}
    done = subprocess.run(
        command,
        env={**os.environ, **service["environment"], **place},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_the_writer_writes_arrives(
    sidecar: Sidecar, server: PostgresServer, broker: KafkaBroker
) -> None:
    sidecar.start_and_stream()
    _write(server)
    written = 2 * _TRANSACTIONS  # by two clients

    def arrived() -> bool:
        orders, outbox = (
            sum(map(len, read_topics(broker.bootstrap_servers, [topic]).values()))
            for topic in ("orders.public.orders", "outbox.event.order")
        )
        return orders > written and outbox == written

    await_true(arrived, what="all orders, some that were paid, and each event of the outbox")
    assert sidecar.terminate() == 0, sidecar.log_text()


def test_the_sql_of_the_database_is_what_the_command_prints() -> None:
    assert (_FOLDER / "postgres" / "2-setup.sql").read_text("utf-8") == render_sql(_CONFIG)


def test_the_sidecar_is_restricted_and_may_end_by_itself() -> None:
    sidecar = _SERVICES["sidecar"]
    assert sidecar["user"] == "65532:65532"
    assert sidecar["read_only"] is True
    assert sidecar["cap_drop"] == ["ALL"]
    assert sidecar["security_opt"] == ["no-new-privileges:true"]
    assert sidecar["tmpfs"] == ["/tmp:size=1m"]  # noqa: S108 - of the container
    assert parse_duration(sidecar["stop_grace_period"]) > _CONFIG.shutdown.grace + OVERTIME


@pytest.mark.parametrize("name", _SERVICES)
def test_each_service_starts_after_those_that_it_needs_and_may_stop_in_order(name: str) -> None:
    service = _SERVICES[name]
    assert parse_duration(service["stop_grace_period"]) > 0
    for needed, how in service.get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in _SERVICES[needed]
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_what_is_mounted_exists() -> None:
    mounts = [mount for service in _SERVICES.values() for mount in service.get("volumes", [])]
    sources = {mount.split(":")[0] for mount in mounts}
    monitoring = {"../monitoring/alerts.yaml", "../monitoring/dashboard.json"}
    assert {each for each in sources if not (_FOLDER / each).exists()} <= monitoring


def test_prometheus_scrapes_the_port_of_the_sidecar_and_reads_the_mounted_rules() -> None:
    (prometheus,) = documents((_FOLDER / "prometheus.yml").read_text("utf-8"))
    (job,) = prometheus["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"sidecar:{_CONFIG.http.port}"]}]
    (rules,) = prometheus["rule_files"]
    assert f":{Path(rules).parent}/alerts.yaml:ro" in str(_SERVICES["prometheus"]["volumes"])


def test_every_setting_of_kafka_exists(broker: KafkaBroker) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    (answer,) = admin.describe_configs([ConfigResource(ResourceType.BROKER, "1")]).values()
    assert _kafka_settings().keys() <= answer.result(20).keys()


@needs(COMPOSE)
def test_the_reference_implementation_accepts_the_file() -> None:
    given = json.loads(output_of(COMPOSE, "-format=json", _FOLDER / "compose.yaml"))
    assert given["services"].keys() == _SERVICES.keys()


@needs(COMPOSE)
@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("healthcheck:", "healthchek:", "healthchek"),
        ("condition: service_healthy", "condition: service_healty", "must be one of"),
    ],
)
def test_the_reference_implementation_refuses_a_misspelt_file(
    old: str, new: str, named: str, tmp_path: Path
) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text((_FOLDER / "compose.yaml").read_text("utf-8").replace(old, new), "utf-8")
    refused = attempt(COMPOSE, path)
    assert refused.returncode != 0
    assert named in refused.stderr
