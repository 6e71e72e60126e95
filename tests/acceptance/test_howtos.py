"""Every how-to works as it is written, for an operator who types its blocks in order."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.howto import Operator, Page


@pytest.fixture
def operator(
    database: str, postgres: PostgresServer, kafka: KafkaBroker, tmp_path: Path
) -> Iterator[Operator]:
    """Yield an operator who has followed the README; no sidecar runs yet."""
    made = Operator(tmp_path, database, kafka.bootstrap_servers, postgres)
    made.prepare()
    yield made
    made.close()


def test_a_table_is_added_and_removed_without_losing_a_row(operator: Operator) -> None:
    page = Page("add-a-table")
    operator.sql(
        "CREATE TABLE public.invoices (id int PRIMARY KEY, order_id bigint, amount numeric(10, 2));"
        "INSERT INTO invoices VALUES (1, 1, 1);"
    )
    operator.sidecar.start_and_stream()
    before = operator.config.read_text(encoding="utf-8")
    operator.configure(page.take("toml", "invoices"))
    operator.sh(page.take("sh", "--diff"))
    printed = (operator.config.parent / "add.sql").read_text(encoding="utf-8")
    assert page.take("sql", "ADD TABLE") in printed
    operator.stop()
    (apply, start) = page.take("sh", "add.sql\ncdc-sidecar check").split("cdc-sidecar check", 1)
    operator.sh(apply)
    operator.sql("INSERT INTO invoices VALUES (2, 1, 2)")
    assert " 0 faults" in operator.sh(f"cdc-sidecar check{start}")
    operator.sql("INSERT INTO invoices VALUES (3, 1, 3)")
    assert operator.sidecar.events("configuration_changed")
    operator.sql(page.take("sql", "UPDATE public.invoices"))
    assert operator.rows("invoices", 5) == [
        ("c", 2),
        ("c", 3),
        ("u", 1),
        ("u", 2),
        ("u", 3),
    ]
    operator.stop()
    operator.config.write_text(before, encoding="utf-8")
    operator.sidecar.start_and_stream()
    operator.sql("INSERT INTO invoices VALUES (4, 1, 4)")
    operator.sql(page.take("sql", "DROP TABLE public.invoices"))
    operator.sql("INSERT INTO orders VALUES (1)")
    assert operator.rows("orders", 1) == [("c", 1)]
    assert len(operator.rows("invoices", 5)) == 5
    operator.sql(page.take("sql", "SET (publish_via_partition_root"))
    page.assert_taken()


def test_an_outbox_row_is_published_though_it_is_deleted_at_once(operator: Operator) -> None:
    page = Page("use-the-outbox")
    operator.sidecar.start_and_stream()
    operator.sql("INSERT INTO orders VALUES (1, 'placed')")
    operator.sql(page.take("sql", "CREATE TABLE"))
    operator.configure(page.take("toml", "[[outboxes]]"))
    operator.sh(page.take("sh", "--diff"))
    operator.stop()
    assert " 0 faults" in operator.sh(page.take("sh", "outbox.sql\ncdc-sidecar check"))
    operator.sql(page.take("sql", "OrderPaid"))
    (line,) = operator.json_lines(page.take("sh", "cdc-sidecar tail"))
    assert line["topic"] == "outbox.event.order"
    assert line["key"] == "1"
    assert json.loads(line["value"]) == {"order": 1}
    assert line["headers"]["type"] == "OrderPaid"
    page.assert_taken()


@pytest.mark.parametrize("code", ["CDC-204", "CDC-504"])
def test_a_slot_that_is_gone_is_replaced_and_the_gap_is_accepted(
    operator: Operator, code: str
) -> None:
    page = Page("recover-a-lost-slot")
    drop, create = page.take("sql", "pg_create_logical").splitlines()
    operator.sidecar.start_and_stream()
    operator.sql("INSERT INTO orders VALUES (1, 'seen')")
    assert operator.rows("orders", 1) == [("c", 1)]
    operator.stop()
    operator.sql(drop)
    operator.sql("INSERT INTO orders VALUES (2, 'in the gap')")
    if code == "CDC-504":
        operator.sql(create)
    operator.sidecar.start()
    assert operator.sidecar.await_exit() == 3
    assert operator.sidecar.events("sidecar_halted")[-1]["code"] == code
    assert code in operator.sh("cdc-sidecar status --config orders.toml", status=1)
    meaning = operator.sh(page.take("sh", "position show"))
    assert code in meaning
    if code == "CDC-204":
        operator.sql(create)
    operator.sh(page.take("sh", "accept-gap"))
    operator.sql("INSERT INTO orders VALUES (3, 'after')")
    operator.sql(page.take("sql", "UPDATE public.orders"))
    expected = [("c", 1), ("c", 3), ("u", 1), ("u", 2), ("u", 3)]
    assert operator.rows("orders", 5) == expected
    assert "slot invalidated on Sunday" in operator.sh("cdc-sidecar position show -c orders.toml")
    page.assert_taken()


def test_every_alert_asks_for_series_that_a_sidecar_has_and_status_answers(
    operator: Operator,
) -> None:
    page = Page("monitor-it")
    operator.sidecar.start_and_stream()
    operator.sql("INSERT INTO orders VALUES (1)")
    operator.rows("orders", 1)
    metrics = operator.sidecar.get("/metrics")[1]
    for expression in page.take_all("promql"):
        for name in re.findall(r"cdc_sidecar_\w+", expression):
            assert name in metrics, expression
    text, as_json = page.take("sh", "cdc-sidecar status").splitlines()
    assert "streams and is up to date" in operator.sh(text)
    assert json.loads(operator.sh(as_json))["ready"] is True
    assert "<title>cdc-sidecar" in operator.sidecar.get("/")[1]
    page.assert_taken()
