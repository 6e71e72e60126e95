"""A consumer process that kills itself at a step: `python -m tests.client.victim <JSON>`.

It counts an effect for each order. The order POISON always fails, and the order FLAKY fails at its
first attempt in each process.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import psycopg
from cdc_sidecar_client.consumer import Consumer, Event, Policy, Retry, Transaction

POISON, FLAKY = 4, 2
RETRY = Retry(attempts=3, initial=0.01, maximum=0.02)


class Step(StrEnum):
    """Where the process ends."""

    BEFORE_ENROLLING = "before_enrolling"
    BEFORE_ENROLLING_COMMITS = "before_enrolling_commits"
    ASSIGNED = "assigned"
    BEFORE_OFFSET = "before_offset"
    BEFORE_HANDLER = "before_handler"
    IN_HANDLER = "in_handler"
    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT = "after_commit"
    FAILED = "failed"
    IN_RETRY = "in_retry"
    BEFORE_PARKING = "before_parking"
    PARKED = "parked"
    PARKING_COMMITTED = "parking_committed"
    BEHIND_PARKED = "behind_parked"
    BEFORE_RELOADING = "before_reloading"
    REVOKED = "revoked"
    NOWHERE = "nowhere"


@dataclass(frozen=True)
class Order:
    """What the process is told."""

    step: Step
    group: str
    topic: str
    servers: str
    registry: str
    database: str
    instance: str
    batch: int = 1

    def command(self) -> list[str]:
        """Return the command line."""
        return [sys.executable, "-m", "tests.client.victim", json.dumps(asdict(self))]


def die() -> None:
    """End at once, as a machine does that loses its power."""
    os.kill(os.getpid(), signal.SIGKILL)


class Connection(psycopg.Connection[Any]):
    """A connection that ends the process at a step."""

    step = Step.NOWHERE
    parked = 0

    def execute(self, query: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as in psycopg
        """Execute a statement; end before or after it."""
        text = str(query)
        self.reach(_BEFORE.get(self.step), text)
        cursor = super().execute(query, *arguments, **named)
        self.parked += text.startswith("INSERT INTO consumer_parked")
        Seen.enrolled |= text.startswith("INSERT INTO consumer_offsets")
        self.reach(_AFTER.get(self.step), text)
        return cursor

    def reach(self, start: str | None, text: str) -> None:
        """End the process if a statement begins like this."""
        if start is not None and text.startswith(start):
            die()

    @contextmanager
    def transaction(self, *arguments: Any, **named: Any) -> Iterator[psycopg.Transaction]:  # noqa: ANN401 - as above
        """Open a transaction; end before or after its commit."""
        with super().transaction(*arguments, **named) as transaction:
            yield transaction
            if Seen.handled and self.step is Step.BEFORE_COMMIT:
                die()
            if Seen.enrolled and self.step is Step.BEFORE_ENROLLING_COMMITS:
                die()
        if (Seen.handled and self.step is Step.AFTER_COMMIT) or (
            self.parked and self.step is Step.PARKING_COMMITTED
        ):
            die()


_BEFORE = {
    Step.BEFORE_ENROLLING: "INSERT INTO consumer_offsets",
    Step.BEFORE_OFFSET: "UPDATE consumer_offsets",
    Step.BEFORE_PARKING: "INSERT INTO consumer_parked",
    Step.BEHIND_PARKED: "SELECT DISTINCT key FROM consumer_parked",
    Step.BEFORE_RELOADING: "SELECT topic, partition, next_offset",
}
_AFTER = {
    Step.BEFORE_HANDLER: "UPDATE consumer_offsets",
    Step.PARKED: "INSERT INTO consumer_parked",
}


class Seen(logging.Handler):
    """What has happened in this process; its messages end it too."""

    handled = False
    enrolled = False

    def __init__(self, step: Step) -> None:
        super().__init__()
        self._message = {
            Step.ASSIGNED: "partitions_assigned",
            Step.REVOKED: "partitions_revoked",
            Step.FAILED: "event_failed",
        }.get(step)

    def emit(self, record: logging.LogRecord) -> None:
        """End the process at its message."""
        if self._message and record.getMessage().startswith(self._message):
            die()


def main(order: Order) -> None:
    """Consume until the step, or until SIGTERM."""
    logger = logging.getLogger("cdc_sidecar_client.consumer")
    logger.setLevel(logging.INFO)
    logger.addHandler(Seen(order.step))
    logging.basicConfig(format="%(asctime)s %(message)s")
    consumer_of(order).run()


def consumer_of(order: Order) -> Consumer:
    """Return the consumer; it ends the process at the step."""
    settings: dict[str, Any] = {
        "topics": [order.topic],
        "bootstrap_servers": order.servers,
        "registry": order.registry,
        "policy": Policy(retry=RETRY, batch=order.batch),
        "kafka": {"group.instance.id": order.instance, "session.timeout.ms": 6000},
    }
    consumer = Consumer(order.group, database=partial(_connect, order), **settings)
    consumer.handler("OrderPlaced")(Handler(order.step).place)
    return consumer


def _connect(order: Order) -> psycopg.Connection[Any]:
    connection = Connection.connect(order.database, autocommit=True)
    connection.step = order.step
    return connection


class Handler:
    """Writes the effects, fails, and ends the process."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._failed: set[int] = set()

    def place(self, transaction: Transaction, event: Event[dict[str, Any]]) -> None:
        """Write the effect of an order."""
        number = int(event.payload["total"])
        if number == POISON or (number == FLAKY and number not in self._failed):
            self._failed.add(number)
            raise ValueError(f"order {number}")
        if number in self._failed and self._step is Step.IN_RETRY:
            die()
        row = (str(event.payload["order_id"]), str(number))
        transaction.execute("INSERT INTO effects VALUES (%s, %s)", row)
        if self._step is Step.IN_HANDLER:
            die()
        Seen.handled = True


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    main(Order(**{**given, "step": Step(given["step"])}))
