"""The example of an order service runs, and its events are committed with its orders."""

import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from cdc_sidecar_client import PayloadRefused, Position

from cdc_sidecar.operations.outbox_sql import outbox_sql
from examples.orders.events import CancelReason, OrderLine
from examples.orders.service import TABLES, OrderUnknown, cancel_order, place_order

ROOT = Path(__file__).parents[2]


@pytest.fixture
def prepared(database: str) -> str:
    """Return a database with the outbox."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            outbox_sql("table", table="public.outbox", role="postgres").encode(), prepare=False
        )
    return database


def test_the_example_runs_and_prints_a_position_behind_its_events(prepared: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "examples.orders", prepared],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    ids = re.findall(r"[0-9a-f-]{36}", run.stdout)
    end = Position.parse(run.stdout.split()[-1])
    with psycopg.connect(prepared) as connection:
        events = connection.execute(
            "SELECT aggregatetype, aggregateid, type, payload FROM outbox ORDER BY id"
        ).fetchall()
        orders = connection.execute("SELECT id::text, status FROM orders").fetchall()
        row = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
    assert row
    assert Position(0) < end <= Position.parse(row[0])
    assert sorted((key, name) for _, key, name, _ in events) == sorted(
        [(ids[0], "OrderPlaced"), (ids[1], "OrderPlaced"), (ids[1], "OrderCancelled")]
    )
    assert {kind for kind, *_ in events} == {"order"}
    assert dict(orders) == {ids[0]: "placed", ids[1]: "cancelled"}
    (placed,) = [payload for _, key, _, payload in events if key == ids[0]]
    assert placed.pop("placed_at").endswith("+00:00")
    assert placed == {
        "order_id": ids[0],
        "customer": "Zoë",
        "total": "31.40",
        "lines": [{"sku": "tea", "quantity": 2}, {"sku": "cup", "quantity": 1}],
        "note": None,
    }


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
