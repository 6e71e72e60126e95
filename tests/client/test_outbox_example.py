"""The example of an order service runs, and its events are committed with its orders."""

import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from cdc_sidecar_client import PayloadRefused, Position, position

from cdc_sidecar.operations.outbox_sql import outbox_sql
from examples.orders.events import CancelReason, OrderLine
from examples.orders.service import TABLES, OrderUnknown, cancel_order, place_order

ROOT = Path(__file__).parents[2]
_PLACED = {
    "customer": "Zoë",
    "total": "31.40",
    "lines": [{"sku": "tea", "quantity": 2}, {"sku": "cup", "quantity": 1}],
    "note": None,
}


@pytest.fixture
def prepared(database: str) -> str:
    """Return a database with the outbox."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            outbox_sql("table", table="public.outbox", role="postgres").encode(), prepare=False
        )
    return database


def run_example(dsn: str) -> str:
    """Return what the example prints."""
    run = subprocess.run(
        [sys.executable, "-m", "examples.orders", dsn],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_example_emits_an_event_for_each_of_its_changes(prepared: str) -> None:
    kept, given_up, *_ = re.findall(r"[0-9a-f-]{36}", run_example(prepared))
    with psycopg.connect(prepared) as connection:
        orders = connection.execute("SELECT id::text, status FROM orders").fetchall()
        events = connection.execute("SELECT aggregateid, type, payload FROM outbox").fetchall()
        kinds = connection.execute("SELECT DISTINCT aggregatetype FROM outbox").fetchall()
    assert dict(orders) == {kept: "placed", given_up: "cancelled"}
    assert kinds == [("order",)]
    payloads = {(key, name): payload for key, name, payload in events}
    placed = payloads.pop((kept, "OrderPlaced"))
    assert payloads.keys() == {(given_up, "OrderPlaced"), (given_up, "OrderCancelled")}
    assert placed.pop("placed_at").endswith("+00:00")
    assert placed == {"order_id": kept, **_PLACED}


def test_the_example_prints_a_position_behind_its_events(prepared: str) -> None:
    end = Position.parse(run_example(prepared).split()[-1])
    with psycopg.connect(prepared, autocommit=True) as connection:
        assert Position(0) < end <= position(connection)


def test_an_order_whose_event_does_not_fit_is_not_placed(prepared: str) -> None:
    with psycopg.connect(prepared, autocommit=True) as connection:
        connection.execute(TABLES)
        with pytest.raises(PayloadRefused, match=r"OrderPlaced: \$\.total has more fraction dig"):
            place_order(connection, "Zoë", Decimal("0.005"), [])
        with pytest.raises(PayloadRefused, match=r"\$\.lines\[0\]\.quantity is out of the range"):
            place_order(connection, "Zoë", Decimal(1), [OrderLine("tea", 2**31)])
        with pytest.raises(OrderUnknown):
            cancel_order(connection, uuid4(), CancelReason.PAYMENT_FAILED)
        found = connection.execute("SELECT FROM orders UNION ALL SELECT FROM outbox").fetchall()
    assert found == []
