"""`check` refuses what `run` refuses, for the same reason, and all of it at once."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import TABLES, Service, Services
from tests.acceptance.setup import run_setup
from tests.topics import make_topic, topics_of

_ITEMS = (
    "CREATE TABLE items (id bigint PRIMARY KEY, n int)",
    "CREATE PUBLICATION cdc FOR ALL TABLES",
)


def faults_of(service: Service) -> list[dict[str, Any]]:
    """Run `check`; return the faults, and check that its exit status fits."""
    run = service.sidecar.run("check", "--json")
    assert "Traceback" not in run.stderr
    report = json.loads(run.stdout)
    assert run.returncode == (0 if report["ok"] else 1)
    return [check for check in report["checks"] if check["severity"] == "error"]


def codes_of(service: Service) -> set[str]:
    """Return the codes of all faults that `check` finds."""
    return {fault["code"] for fault in faults_of(service)}


def refusal_of(service: Service) -> str:
    """Start the sidecar, which must end by itself; return the code."""
    service.sidecar.start()
    assert service.sidecar.await_exit() in (2, 3), service.sidecar.log_text()
    return str(service.sidecar.events("sidecar_halted")[-1]["code"])


@pytest.mark.parametrize(
    ("replaced", "named"),
    [
        ({"replication_factor = 1": "replication_factor = 3"}, "eplication"),
        ({"[publish]": '[topics.config]\n"retention.mss" = "1"\n[publish]'}, "retention.mss"),
        ({"[publish]": '[topics.config]\n"cleanup.policy" = "compact"\n[publish]'}, "truncate"),
        ({"[publish]": '[topics.config]\n"min.insync.replicas" = "2"\n[publish]'}, "min.insync"),
    ],
    ids=["replicas", "unknown", "compacted", "insync"],
)
def test_topics_that_could_not_be_created_or_written_are_refused(
    make_service: Callable[..., Service], replaced: dict[str, str], named: str
) -> None:
    service = make_service(f'{TABLES}truncate = "event"\n', **replaced)
    service.sql(*_ITEMS)
    faults = faults_of(service)
    assert not [name for name in topics_of(service.kafka) if service.name in name]
    assert any(named in fault["fact"] for fault in faults), faults
    assert refusal_of(service) in {fault["code"] for fault in faults}


def test_a_position_topic_with_several_partitions_is_refused(service: Service) -> None:
    compact = {"cleanup.policy": "compact"}
    make_topic(service.kafka, f"_cdc.{service.name}.position", partitions=2, settings=compact)
    assert codes_of(service) == {refusal_of(service)} == {"CDC-405"}


def test_an_address_that_another_program_has_is_refused(service: Service) -> None:
    with socket.create_server(("127.0.0.1", service.sidecar.port)):
        assert codes_of(service) == {"CDC-120"}
    service.sidecar.start_and_stream()
    assert faults_of(service) == []


def test_a_glob_that_matches_nothing_is_a_fault_with_a_suggestion(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES.replace("public.*", "public.item_*"))
    service.sql(*_ITEMS)
    (fault,) = faults_of(service)
    assert fault["code"] == "CDC-208"
    assert "public.item_* matches no table" in fault["fact"]
    assert "public.items" in fault["hint"]
    service.sidecar.start_and_stream()
    assert "public.item_*" in service.sidecar.events("source_questionable")[-1]["fact"]


@pytest.fixture
def crowded() -> Iterator[PostgresServer]:
    """Yield a server whose only replication slot is in use."""
    with PostgresServer(settings={"max_replication_slots": 1}, fsync=False) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("SELECT pg_create_physical_replication_slot('other')")
        yield server


def test_a_server_without_a_free_slot_is_refused(
    services: Services, crowded: PostgresServer
) -> None:
    service = services(crowded, "crowded")
    service.sql(*_ITEMS)
    assert codes_of(service) == {refusal_of(service)} == {"CDC-213"}


def test_all_faults_are_shown_at_once_and_none_is_derived_from_another(
    make_service: Callable[..., Service], kafka: KafkaBroker
) -> None:
    service = make_service(
        '\n[[tables]]\nname = "public.absent"\ncolumns = ["*"]\n'
        '\n[[tables]]\nname = "public.logs"\ncolumns = ["*"]\n',
        **{f'bootstrap_servers = "{kafka.bootstrap_servers}"': 'bootstrap_servers = "127.0.0.1:1"'},
    )
    service.sql("CREATE TABLE logs (line text)", "CREATE PUBLICATION cdc FOR TABLE logs")
    service.sql(f"SELECT pg_create_logical_replication_slot('{service.name}_cdc', 'pgoutput')")
    run = service.sidecar.run("check")
    for code in ("CDC-208", "CDC-110", "CDC-214", "CDC-401"):
        assert run.stdout.count(f"{code} ") == 1, run.stdout
    assert "CDC-501" not in run.stdout
    assert "--bootstrap" not in run.stdout
    assert "brokers: no answer yet" in run.stderr


_UNPUBLISHED = """
[[tables]]
name = "public.odd"
columns = ["id", "shape", "nmae"]

[[tables]]
name = "public.logs"
columns = ["*"]

[[tables]]
name = "shop_*.orders"
columns = ["*"]
"""


@pytest.mark.parametrize(
    "publication",
    [(), ("CREATE TABLE other (id int PRIMARY KEY)", "CREATE PUBLICATION cdc FOR TABLE other")],
    ids=["no publication", "publication of another table"],
)
def test_tables_that_are_not_published_yet_are_examined_as_though_they_were(
    make_service: Callable[..., Service], publication: tuple[str, ...]
) -> None:
    service = make_service(_UNPUBLISHED)
    service.sql(
        "CREATE TYPE pair AS (a int, b int)",
        "CREATE TABLE odd (id int PRIMARY KEY, shape pair, name text)",
        "CREATE TABLE logs (line text)",
        "CREATE SCHEMA shop_a",
        "CREATE TABLE shop_a.orders (id int PRIMARY KEY, place pair)",
        *publication,
    )
    faults = {fault["subject"]: fault for fault in faults_of(service)}
    unfit = faults["keys and types of unpublished tables"]
    assert unfit["code"] == "CDC-110"
    for mistake in ("column shape", "nmae", "public.logs", "shop_a.orders: column place"):
        assert mistake in unfit["fact"], unfit
    away = faults["configured tables" if publication else "publication exists"]
    assert away["code"] == ("CDC-208" if publication else "CDC-207")
    assert "UPDATE and DELETE on public.logs would fail" in away["cause"]
    assert "ALTER TABLE public.logs REPLICA IDENTITY FULL; " in away["hint"]
    assert refusal_of(service) == away["code"]


def test_a_misspelt_table_is_named_before_the_publication_exists(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES.replace("public.*", "public.itms"))
    service.sql("CREATE TABLE items (id int PRIMARY KEY)")
    faults = {fault["code"]: fault for fault in faults_of(service)}
    assert set(faults) == {"CDC-207", "CDC-208"}
    assert "did you mean public.items?" in faults["CDC-208"]["hint"]


def test_the_configuration_of_a_message_service_needs_no_table(
    make_service: Callable[..., Service], tmp_path: Path, postgres: PostgresServer
) -> None:
    service = make_service('[messages]\nprefixes = ["mark"]\n')
    service.sql("CREATE TABLE logs (line text)")
    assert "ERROR" not in run_setup(service, postgres, tmp_path)
    assert faults_of(service) == []
    service.sidecar.start_and_stream()
    service.sql("UPDATE logs SET line = 'x'")
    service.await_published()


def test_a_changed_key_beside_a_large_value_is_warned_of_until_the_identity_is_full(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES + "unkeyed = true\n")
    service.sql(
        "CREATE TABLE notes (id int PRIMARY KEY, short varchar(20), n numeric, body text)",
        "CREATE TABLE small (id int PRIMARY KEY, short varchar(20))",
        "CREATE TABLE named (code text PRIMARY KEY, n int)",
        "CREATE TABLE keyless (body text)",
        'CREATE TABLE "Parts" (id int PRIMARY KEY, body text) PARTITION BY RANGE (id)',
        'CREATE TABLE "Part 1" PARTITION OF "Parts" FOR VALUES FROM (0) TO (9)',
        "CREATE TABLE listed (id int PRIMARY KEY, n int, body text)",
        'CREATE PUBLICATION cdc FOR TABLE notes, small, named, keyless, "Parts",'
        " listed (id, body) WITH (publish_via_partition_root)",
        "ALTER TABLE keyless REPLICA IDENTITY FULL",
    )
    missing = "an update that changes the key but not a large value of body"
    checked = service.sidecar.run("check").stdout
    for table in ("notes", "Parts", "listed"):
        assert f"public.{table}: {missing}" in checked
    assert checked.count(missing) == 3, checked
    assert "it cannot be sent, because REPLICA IDENTITY FULL does not go with a column" in checked
    hints = re.findall(r"ALTER TABLE \S+(?: 1\")? REPLICA IDENTITY FULL", checked)
    assert len(hints) == 3, "the hint also names the partition"
    service.sql(*hints)
    assert service.sidecar.run("check").stdout.count(missing) == 1, "that of the column list"
