"""The page about consuming events is followed literally, beside a sidecar with an outbox."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cdc_sidecar_client.inbox import Inbox

from tests.acceptance.brokers import remove_topics
from tests.acceptance.howto import Operator, Page
from tests.waiting import await_true

_OUTBOX = """
CREATE TABLE public.outbox (id uuid PRIMARY KEY, aggregatetype text NOT NULL,
    aggregateid text NOT NULL, type text NOT NULL, payload jsonb)
"""
_CONFIG = """
[[outboxes]]
table = "public.outbox"
topic = "outbox.event.{aggregatetype}"
payload = "framed"
"""
_ORDER = "6ecd8c99-4036-403d-bf84-cf8400f6783{}"
_PLACED = {"customer": "Ada", "total": 10.25, "placed_at": "2026-01-02T03:04:05Z", "note": None}


@pytest.fixture
def operator(operator: Operator) -> Operator:
    """Return an operator whose sidecar publishes an outbox; billing uses the same database."""
    remove_topics(operator.kafka, "outbox.event.")
    operator.sql(_OUTBOX)
    operator.configure(_CONFIG)
    operator.sh("cdc-sidecar setup-sql --config orders.toml --diff > outbox.sql")
    operator.sql((operator.config.parent / "outbox.sql").read_text())
    operator.sidecar.start_and_stream()
    registry = f"http://127.0.0.1:{operator.sidecar.port}"
    operator.environment.update(KAFKA=operator.kafka, REGISTRY=registry, BILLING=operator.dsn)
    return operator


@contextmanager
def _running(operator: Operator, script: str) -> Iterator[None]:
    """Run a script in another terminal, and stop it with SIGTERM at the end."""
    folder = operator.config.parent
    process = subprocess.Popen(script.split(), cwd=folder, env=operator.environment)
    try:
        yield
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def _place(operator: Operator, number: int, **changed: object) -> None:
    order = _ORDER.format(number)
    payload = json.dumps({"order_id": order, **_PLACED, **changed})
    values = f"gen_random_uuid(), 'order', '{order}', 'OrderPlaced', '{payload}'"
    operator.sql(f"INSERT INTO outbox VALUES ({values})")


def test_a_service_consumes_events_and_retries_what_it_parked(operator: Operator) -> None:
    page = Page("consume-events")
    operator.sql(page.take("sql", "CREATE TABLE invoices"))
    operator.sh(page.take("sh", "schema-sql"))
    (operator.config.parent / "billing.py").write_text(page.take("python", "write_invoice"))
    listing, retry = page.take("sh", "parked list"), page.take("sh", "parked retry")
    with _running(operator, page.take("sh", "python billing.py")):
        _place(operator, 1)
        _place(operator, 2, customer=None)  # it has no customer, which the service cannot handle
        _place(operator, 3)
        await_true(lambda: operator.ask("SELECT count(*) FROM invoices") == 2, what="invoices")
        await_true(lambda: operator.ask("SELECT count(*) FROM consumer_parked") == 1, what="parked")
    (parked,) = operator.json_lines(listing)
    assert (parked["topic"], parked["event_type"]) == ("outbox.event.order", "OrderPlaced")
    assert parked["error"] == "Undecodable: payload.customer: expected str, not NoneType"
    assert "expected str" in operator.sh(retry, status=1)
    program = operator.config.parent / "billing.py"
    program.write_text(program.read_text().replace("customer: str", "customer: str | None"))
    operator.sql("ALTER TABLE invoices ALTER customer DROP NOT NULL")
    assert operator.sh(retry) == "1 handled\n"
    assert operator.ask("SELECT sum(total)::text FROM invoices") == "30.75"
    assert page.take("sql", "CREATE TABLE inbox") == Inbox("inbox").schema_sql()
    for language in ("java", "go"):  # tests/interop compiles and runs them
        page.take(language, "OrderPlaced")
    page.assert_taken()
