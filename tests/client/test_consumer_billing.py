"""The billing service of the examples, as a process on real servers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.client.billing_topic import Registry, Topic, framed, order_id
from tests.waiting import await_true

_ROOT = Path(__file__).parents[2]
_ORDERS = 300


class Billing:
    """The service, which can be started and killed."""

    def __init__(self, database: str, topic: Topic, registry: Registry) -> None:
        self._database = database
        self._environment = {
            **os.environ,
            "BILLING_DATABASE": database,
            "ORDER_TOPIC": topic.name,
            "KAFKA_BOOTSTRAP_SERVERS": topic.servers,
            "SCHEMA_REGISTRY": registry.url,
        }
        self.process = self.start("migrate")
        assert self.process.wait(30) == 0

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start it."""
        command = [sys.executable, "-m", "examples.billing", *words]
        self.process = subprocess.Popen(command, cwd=_ROOT, env=self._environment)
        return self.process

    def rows(self, query: str) -> list[Any]:
        """Return the rows of a query."""
        with psycopg.connect(self._database, autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def invoices(self) -> int:
        """Return the number of invoices."""
        return int(self.rows("SELECT count(*) FROM invoices")[0][0])


@pytest.fixture
def billing(database: str, topic: Topic, registry: Registry) -> Iterator[Billing]:
    """Yield the service, with its tables."""
    service = Billing(database, topic, registry)
    yield service
    service.process.kill()
    service.process.wait()


def _send_orders(topic: Topic) -> None:
    """Place the orders, and cancel every third one."""
    topic.place(*range(_ORDERS))
    for number in range(0, _ORDERS, 3):
        reason = {"order_id": order_id(number), "reason": "PAYMENT_FAILED"}
        topic.send(str(number), framed(4, reason), "OrderCancelled")
    topic.flush()


def test_billing_writes_one_invoice_for_each_order_although_it_is_killed(
    billing: Billing, topic: Topic
) -> None:
    _send_orders(topic)
    for killed_at in (1, _ORDERS // 3):
        billing.start()
        await_true(lambda at=killed_at: billing.invoices() > at, what="invoices")  # type: ignore[misc]
        billing.process.kill()
        billing.process.wait()
    billing.start()
    voided = "SELECT count(*) FROM invoices WHERE void_because = 'PAYMENT_FAILED'"
    await_true(lambda: billing.rows(voided) == [(_ORDERS // 3,)], what="every event")
    total = sum(Decimal(number) + Decimal("0.50") for number in range(_ORDERS))
    assert billing.rows("SELECT count(*), sum(total) FROM invoices") == [(_ORDERS, total)]
    lines = billing.rows("SELECT count(*), sum(quantity) FROM invoice_lines")
    assert lines == [(_ORDERS, 2 * _ORDERS)]
    assert billing.rows("SELECT * FROM consumer_parked") == []
    billing.process.terminate()
    assert billing.process.wait(30) == 0
