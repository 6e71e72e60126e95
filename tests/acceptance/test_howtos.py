"""Every how-to works as it is written, for an operator who types its blocks in order."""

import json
import re
from pathlib import Path

import pytest

from tests.acceptance.brokers import remove_topics
from tests.acceptance.howto import DOCS, Operator, Page
from tests.monitoring.scaling import alerts


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
    assert page.take("sql", "ADD TABLE public.invoices") in printed
    operator.stop()
    (apply, start) = page.take("sh", "add.sql\ncdc-sidecar check").split("cdc-sidecar check", 1)
    operator.sh(apply)
    operator.sql("INSERT INTO invoices VALUES (2, 1, 2)")
    assert " 0 faults" in operator.sh(f"cdc-sidecar check{start}")
    operator.sql("INSERT INTO invoices VALUES (3, 1, 3)")
    assert operator.sidecar.events("configuration_changed")
    assert operator.rows("invoices", 2) == [("c", 2), ("c", 3)]
    operator.await_read("invoices", {"1"})
    operator.stop()
    operator.config.write_text(before, encoding="utf-8")
    operator.sidecar.start_and_stream()
    operator.sql("INSERT INTO invoices VALUES (4, 1, 4)")
    operator.sql(page.take("sql", "DROP TABLE public.invoices"))
    operator.sql("INSERT INTO orders VALUES (1)")
    assert operator.rows("orders", 1) == [("c", 1)]
    assert len(operator.rows("invoices", 2)) == 2
    operator.sql(page.take("sql", "SET (publish_via_partition_root"))
    page.assert_taken()


def test_an_outbox_row_is_published_though_it_is_deleted_at_once(operator: Operator) -> None:
    page = Page("use-the-outbox")
    remove_topics(operator.kafka, "outbox.event.")
    operator.sidecar.start_and_stream()
    operator.sql("INSERT INTO orders VALUES (1, 'placed')")
    operator.sql(page.take("sql", "CREATE TABLE"))
    schema = operator.sidecar.config.parent / "order_paid.avsc"
    schema.write_text(page.take("json", "OrderPaid"))
    operator.configure(page.take("toml", 'topic = "outbox.event'))
    operator.sh(page.take("sh", "--diff"))
    operator.stop()
    assert " 0 faults" in operator.sh(page.take("sh", "outbox.sql\ncdc-sidecar check"))
    operator.sql(page.take("sql", "OrderPaid"))
    (line,) = operator.json_lines(page.take("sh", "cdc-sidecar tail"))
    assert line["topic"] == "outbox.event.order"
    assert line["key"] == "1"
    assert line["value"] == {"order": 1, "note": None}
    assert line["headers"]["type"] == "OrderPaid"
    page.take_all("toml")  # the others are loaded by `test_docs`, and followed by `test_outbox_*`
    page.assert_taken()


@pytest.mark.parametrize("code", ["CDC-204", "CDC-205", "CDC-504"])
def test_a_slot_that_is_gone_is_replaced_and_the_gap_is_accepted(
    operator: Operator, code: str
) -> None:
    page = Page("recover-a-lost-slot")
    both = page.take("sql", "pg_create_logical")
    drop, create = both.splitlines()
    operator.sidecar.start_and_stream()
    operator.sql("INSERT INTO orders VALUES (1, 'seen')")
    assert operator.rows("orders", 1) == [("c", 1)]
    operator.stop()
    operator.sql("INSERT INTO orders VALUES (2, 'in the gap')")
    if code == "CDC-205":
        operator.lose_slot("orders_cdc")
    else:
        operator.sql(drop)
    if code == "CDC-504":
        operator.sql(create)
    operator.assert_halts(code)
    assert code in operator.sh("cdc-sidecar status --config orders.toml", status=1)
    assert code in operator.sh(page.take("sh", "position show"))
    if code != "CDC-504":
        operator.sql(both if code == "CDC-205" else create)
    operator.sh(page.take("sh", "accept-gap"))
    operator.sql("INSERT INTO orders VALUES (3, 'after')")
    assert operator.rows("orders", 2) == [("c", 1), ("c", 3)]
    operator.stop()
    operator.replace('name = "public.orders"', 'name = "public.orders"\ngeneration = 2')
    operator.sidecar.start_and_stream()
    operator.await_read("orders", {"1", "2", "3"})
    assert "slot invalidated on Sunday" in operator.sh("cdc-sidecar position show -c orders.toml")
    page.assert_taken()


def test_every_alert_asks_for_series_that_a_sidecar_has_and_status_answers(
    operator: Operator,
) -> None:
    page = Page("monitor-it")
    assert len(page.take_all("yaml")) == 2, "tests/monitoring/test_rules.py checks them"
    assert [text.split()[0] for text in page.take_all("bash")] == ["kubectl", "promtool"]
    operator.configure(page.take("toml", "otlp_endpoint"))
    operator.sidecar.start_and_stream()
    operator.sql("INSERT INTO orders VALUES (1)")
    operator.rows("orders", 1)
    metrics = operator.sidecar.scrape()
    for alert in alerts().values():
        for name in re.findall(r"cdc_sidecar_\w+", alert["expr"]):
            assert name in metrics, alert["expr"]
    text, as_json = page.take("sh", "cdc-sidecar status").splitlines()
    assert "streams and is up to date" in operator.sh(text)
    assert json.loads(operator.sh(as_json))["ready"] is True
    assert f"<title>{operator.service}: streaming" in operator.sidecar.get("/")[1]
    page.assert_taken()


def test_every_how_to_is_followed_by_a_test() -> None:
    tests = Path(__file__).parent.glob("test_howto*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in tests)
    pages = {path.stem for path in DOCS.glob("*.md") if "```" in path.read_text(encoding="utf-8")}
    pages.discard("read-the-events")  # its only block is JavaScript, which this suite cannot run
    pages.discard("emit-events")  # followed by tests/client/test_outbox_docs.py
    assert pages == set(re.findall(r'Page\("([a-z-]+)"\)', text))


def test_a_listed_column_is_renamed_and_dropped(operator: Operator) -> None:
    renamed = Page("change-a-schema").take("toml", "public.tasks")
    operator.sql("CREATE TABLE public.tasks (id int PRIMARY KEY, status text, note text)")
    operator.configure(renamed)
    _publish_what_is_missing(operator)
    operator.sidecar.start_and_stream()
    operator.sql("INSERT INTO tasks VALUES (1, 'old', 'x')")
    operator.sql("ALTER TABLE tasks RENAME COLUMN status TO state")
    operator.sql("INSERT INTO tasks VALUES (2, 'new', 'x')")
    operator.sql("ALTER TABLE tasks DROP COLUMN note")
    assert operator.rows("tasks", 2) == [("c", 1), ("c", 2)]
    fields = [set(event["after"]) for event in operator.values("tasks", 2)]
    assert fields == [{"id", "status"}] * 2, "rename keeps the name that consumers know"
    operator.stop()
    operator.sql("INSERT INTO tasks VALUES (3, 'of the old layout')")
    operator.sql("ALTER TABLE tasks DROP COLUMN state")
    operator.assert_halts("CDC-110", status=2)
    operator.replace("[tables.column.state]", 'optional = ["state"]\n[tables.column.state]')
    operator.sidecar.start_and_stream()
    operator.sql("INSERT INTO tasks VALUES (4)")
    assert operator.rows("tasks", 4) == [("c", 1), ("c", 2), ("c", 3), ("c", 4)]


def test_rows_of_a_table_that_is_gone_are_sent(operator: Operator) -> None:
    dropped = Page("change-a-schema").take("toml", "dropped = true")
    operator.sidecar.start_and_stream()
    operator.stop()
    operator.sql(
        "CREATE TABLE import_2024 (id int PRIMARY KEY);"
        "ALTER PUBLICATION orders_cdc ADD TABLE import_2024;"
        "INSERT INTO import_2024 VALUES (1);"
    )
    operator.sql("DROP TABLE import_2024")
    operator.configure(dropped)
    _publish_what_is_missing(operator)
    operator.sidecar.start_and_stream()
    assert operator.rows("import_2024", 1) == [("c", 1)]


def test_rows_of_a_table_that_had_another_name_are_sent_as_the_page_says(
    operator: Operator,
) -> None:
    former = Page("change-a-schema").take("toml", "former_names")
    operator.sidecar.start_and_stream()
    operator.sql("INSERT INTO orders VALUES (1)")
    assert operator.rows("orders", 1) == [("c", 1)]
    operator.stop()
    operator.sql("ALTER TABLE orders RENAME TO orders_2024")
    operator.sql("INSERT INTO orders_2024 VALUES (2)")
    operator.sql("CREATE TABLE orders (LIKE orders_2024 INCLUDING ALL); DROP TABLE orders_2024;")
    _publish_what_is_missing(operator)
    operator.assert_halts("CDC-303")
    operator.replace('[[tables]]\nname = "public.orders"\ncolumns = ["*"]', former)
    operator.sidecar.start_and_stream()
    operator.sql("INSERT INTO orders VALUES (3)")
    assert operator.rows("orders", 3) == [("c", 1), ("c", 2), ("c", 3)]


def _publish_what_is_missing(operator: Operator) -> None:
    operator.sh("cdc-sidecar setup-sql --config orders.toml --diff > add.sql")
    operator.sh('psql "$OWNER" --set ON_ERROR_STOP=1 --file add.sql')


def test_the_configuration_beside_a_service_streams_and_its_graces_fit(operator: Operator) -> None:
    page = Page("deploy-beside-a-service")
    (toml,) = page.take_all("toml")
    operator.config.write_text(toml, encoding="utf-8")
    build, bill, run = page.take_all("bash")
    assert " 0 faults" in operator.sh("cdc-sidecar check --config orders.toml")
    operator.sidecar.start_and_stream()
    operator.sql("INSERT INTO orders VALUES (1, 'placed')")
    assert operator.rows("orders", 1) == [("c", 1)]
    operator.stop()
    (grace,) = re.findall(r'grace = "(\d+)s"', toml)
    (container,) = re.findall(r"--stop-timeout (\d+)", run)
    assert int(grace) + 10 < int(container)
    assert "docker build" in build
    assert "sbom.cdx.json" in bill
    page.assert_taken()
