"""The report of `check`: its JSON is stable, its lines have groups, its warnings stop nothing."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer, Setting
from tests.acceptance.conftest import Service, Services
from tests.topics import make_topic, set_topic
from tests.waiting import await_true

_GOLDEN = Path(__file__).parents[1] / "golden" / "check.json"
_KEYS = ["group", "subject", "severity", "code", "warning", "fact", "cause", "hint"]
_TABLES = """
[[tables]]
name = "public.items"
columns = ["*"]

[[tables]]
name = "public.itmes"
columns = ["*"]
"""
_TABLE = _TABLES.partition("\n\n")[0] + "\n"
_UNWISE: dict[str, Setting] = {
    "max_slot_wal_keep_size": "-1",
    "wal_sender_timeout": 0,
    "idle_replication_slot_timeout": "1d",
}
_SQL = re.compile(r"ALTER SYSTEM SET \w+ = [^;…]+(?=;)")
_TOPIC = re.compile(r"kafka-configs\.sh .*--topic (\S+) --add-config (\S+?)=(\S+)")


@pytest.fixture(scope="module")
def unwise() -> Iterator[PostgresServer]:
    """Yield a server whose settings endanger a slot, and that has the slot of a standby."""
    with PostgresServer(settings=_UNWISE, fsync=False) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("SELECT pg_create_physical_replication_slot('standby1')")
        yield server


def _report(service: Service, status: int) -> dict[str, Any]:
    run = service.sidecar.run("check", "--json")
    assert all(line.startswith("...") for line in run.stderr.splitlines()), run.stderr
    assert run.returncode == status, run.stdout
    report: dict[str, Any] = json.loads(run.stdout)
    return report


def _warnings(report: dict[str, Any]) -> dict[str, str]:
    """Return the hints of the warnings by name."""
    return {check["warning"]: check["hint"] for check in report["checks"] if check["warning"]}


def test_programs_can_rely_on_the_json(services: Services, unwise: PostgresServer) -> None:
    """The golden file has every line but its texts, which may change."""
    service = services(unwise, "golden", _TABLES)
    service.sql("CREATE TABLE items (id int PRIMARY KEY)", "CREATE PUBLICATION cdc FOR TABLE items")
    report = _report(service, status=1)
    assert list(report) == ["version", "ok", "faults", "warnings", "checks"]
    assert all(list(check) == _KEYS for check in report["checks"])
    assert all(check["fact"] for check in report["checks"])
    silent = [check for check in report["checks"] if check["severity"] == "ok"]
    assert all(check["cause"] is check["hint"] is check["code"] is None for check in silent)
    checks = [{key: check[key] for key in _KEYS[:5]} for check in report["checks"]]
    assert {**report, "checks": checks} == json.loads(_GOLDEN.read_text(encoding="utf-8"))


def test_a_configuration_that_cannot_be_used_is_a_report_too(service: Service) -> None:
    service.reconfigure("publication = ", "publicaton = ")
    report = _report(service, status=2)
    assert [check["code"] for check in report["checks"]] == ["CDC-102"]


def test_warnings_stop_nothing_and_end_with_their_hints(
    services: Services, unwise: PostgresServer, kafka: KafkaBroker
) -> None:
    service = services(unwise, "unwise", _TABLE)
    service.sql("CREATE TABLE items (id int PRIMARY KEY)", "CREATE PUBLICATION cdc FOR TABLE items")
    (topic,) = service.topics("items")
    unclean = {"unclean.leader.election.enable": "true"}
    make_topic(kafka.bootstrap_servers, topic, settings=unclean)
    before = _warnings(_report(service, status=0))
    mended = {"no_wal_sender_timeout", "idle_slot_timeout", "unclean_leader_election"}
    for name in mended:
        _follow(service, before[name])
    service.sql("SELECT pg_reload_conf()")
    await_true(
        lambda: not mended & _warnings(_report(service, status=0)).keys(),
        what="the settings loaded",
    )
    after = _warnings(_report(service, status=0))
    assert before.keys() - after.keys() == mended
    assert after.keys() == {"slot_without_limit", "slot_without_failover", "one_replica"}


def _follow(service: Service, hint: str) -> None:
    service.sql(*_SQL.findall(hint))
    for topic, setting, value in _TOPIC.findall(hint):
        set_topic(service.kafka, topic, setting, value)


def test_every_setting_of_a_server_that_is_wrong_is_told_in_one_run(
    services: Services, untuned: PostgresServer
) -> None:
    service = services(untuned, "untuned", _TABLE)
    service.sql(
        "CREATE TABLE items (id int PRIMARY KEY)",
        "CREATE PUBLICATION cdc FOR TABLE items",
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        "SELECT pg_reload_conf()",
    )
    report = _report(service, status=1)
    hints = {check["code"]: check["hint"] for check in report["checks"] if check["code"]}
    assert hints.keys() == {"CDC-210", "CDC-213", "CDC-214"}
    assert "set another application_name in postgres.dsn" in hints.pop("CDC-214")
    service.sql(
        *(statement for hint in hints.values() for statement in _SQL.findall(hint)),
        "ALTER SYSTEM SET synchronous_standby_names = ''",
    )
    untuned.stop()
    untuned.start()
    assert _report(service, status=0)["ok"]


def test_many_mistakes_are_told_in_one_run_and_under_the_titles_of_their_groups(
    make_service: Callable[..., Service],
) -> None:
    """The program itself runs, as a person calls it."""
    service = make_service(
        _TABLES,
        **{
            "replication_factor = 1": "replication_factor = 3",
            "create_slot = true": "create_slot = false",
            '"30s"': '"1h"',
        },
    )
    service.reconfigure(f"127.0.0.1:{service.sidecar.port}", "192.0.2.1:9464")
    service.sql("CREATE TABLE items (id int)", "CREATE PUBLICATION cdc FOR TABLE items")
    run = subprocess.run(
        [sys.executable, "-m", "cdc_sidecar", "check", "--config", str(service.sidecar.config)],
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert "Traceback" not in run.stdout + run.stderr
    titles = re.findall(r"^\w.*$", run.stdout, re.MULTILINE)
    assert titles[:-1] == [
        "Configuration", "Postgres", "Kafka", "Schemas, snapshots and position", "HTTP"
    ]  # fmt: skip
    codes = set(re.findall(r"^  FAULT  .{28} ?(CDC-\d+)", run.stdout, re.MULTILINE))
    assert codes >= {"CDC-110", "CDC-204", "CDC-208", "CDC-214", "CDC-402", "CDC-120"}
