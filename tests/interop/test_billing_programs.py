"""The programs of `docs/how-to/consume-events.md` in Java and Go handle each event once."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from benchmarks.downloads import connect_class_path
from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.howto import Page
from tests.client.billing_topic import Registry, Topic, placed, running_registry
from tests.waiting import await_true

_GO, _JAVAC = shutil.which("go"), shutil.which("javac")
_ORDERS = 40
_LAST = 10  # after the repeats, on both partitions
Build = Callable[[Path], list[str]]


def _java(folder: Path) -> list[str]:
    source = folder / "Billing.java"
    source.write_text(Page("consume-events").take("java", "class Billing"))
    options = ["-d", str(folder), "-cp", connect_class_path(), "-Xlint:all,-classfile", "-Werror"]
    subprocess.run([str(_JAVAC), *options, str(source)], check=True)
    return ["java", "-cp", f"{folder}:{connect_class_path()}", "Billing"]


def _go(folder: Path) -> list[str]:
    shutil.copytree(Path(__file__).parent / "billing_go", folder, dirs_exist_ok=True)
    (folder / "main.go").write_text(Page("consume-events").take("go", "package main"))
    for command in (["vet", "."], ["build", "-o", "billing", "."]):
        subprocess.run([str(_GO), *command], cwd=folder, check=True)
    return [str(folder / "billing")]


_PROGRAMS = [
    pytest.param(_java, marks=pytest.mark.skipif(_JAVAC is None, reason="no Java compiler")),
    pytest.param(_go, marks=pytest.mark.skipif(_GO is None, reason="Go is not installed")),
]


@pytest.fixture(scope="module")
def orders(kafka: KafkaBroker) -> Topic:
    """Return the topic that the programs read: each event is there twice, and one has no value."""
    topic = Topic(kafka.bootstrap_servers, 2, name="outbox.event.order")
    for _ in range(2):
        for number in range(_ORDERS):
            identifier = str(uuid5(NAMESPACE_URL, str(number)))
            topic.send(str(number), placed(number), "OrderPlaced", identifier)
        topic.send("1", None, "OrderPlaced")
    for number in range(_ORDERS, _ORDERS + _LAST):
        topic.send(str(number), placed(number), "OrderPlaced")
    topic.flush()
    return topic


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    """Yield a registry with the schemas of the events."""
    with running_registry() as running:
        yield running


def _rows(dsn: str, query: str) -> list[Any]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    """Run a program; kill it at the end of the block."""
    process = subprocess.Popen(command, env=environment)
    try:
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("build", _PROGRAMS)
def test_a_program_of_the_page_writes_one_invoice_for_each_order_although_events_repeat(
    database: str, orders: Topic, registry: Registry, tmp_path: Path, build: Build
) -> None:
    page = Page("consume-events")
    for table in ("invoices", "inbox"):
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(page.take("sql", f"CREATE TABLE {table}").encode())
    command, environment = build(tmp_path), _environment(database, orders, registry)
    numbers = range(_ORDERS + _LAST)
    count = "SELECT count(*) FROM invoices"
    with _running(command, environment):
        await_true(
            lambda: _rows(database, count) == [(len(numbers),)], deadline=60, what="invoices"
        )
    total = sum(Decimal(number) + Decimal("0.50") for number in numbers)
    columns = "sum(total), min(customer), max(placed_at AT TIME ZONE 'UTC')::text"
    facts = [(total, "Ada", "2026-01-02 03:04:05.000678")]
    assert _rows(database, f"SELECT {columns} FROM invoices") == facts
    assert _rows(database, "SELECT count(*) FROM inbox") == [(len(numbers),)]


def _environment(database: str, orders: Topic, registry: Registry) -> dict[str, str]:
    parts = conninfo_to_dict(database)
    place = f"{parts['host']}:{parts['port']}/{parts['dbname']}?user={parts['user']}"
    return {
        **os.environ,
        "KAFKA": orders.servers,
        "REGISTRY": registry.url,
        "BILLING": database,
        "BILLING_JDBC": f"jdbc:postgresql://{place}",
    }
