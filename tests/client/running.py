"""A consumer that runs in a thread of the test, and what it has done to its database."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
from cdc_sidecar_client.consumer import Consumer, Event, Policy, Retry, Transaction, schema_sql

from tests.client.billing_topic import Registry, Topic
from tests.waiting import await_true

QUICK = Retry(attempts=3, initial=0.01, maximum=0.05)


def prepare(database: str) -> None:
    """Create the tables of consumers, and `effects`."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(schema_sql().encode())
        connection.execute("CREATE TABLE effects (order_id text, note text)")


class Service:
    """A service that writes one row into `effects` for each order."""

    def __init__(self, database: str, topic: Topic, registry: Registry) -> None:
        self.database = database
        self.topic = topic
        self.registry = registry
        self.group = f"g{uuid4().hex[:8]}"

    def consumer(self, policy: Policy | None = None, **settings: Any) -> Consumer:  # noqa: ANN401 - of Consumer
        """Return a consumer without handlers, which retries quickly."""
        given: dict[str, Any] = {
            "topics": [self.topic.name],
            "bootstrap_servers": self.topic.servers,
            "registry": self.registry.url,
            "database": self.database,
            "policy": policy or Policy(retry=QUICK),
        }
        return Consumer(self.group, **{**given, **settings})

    def writing(self, policy: Policy | None = None, **settings: Any) -> Consumer:  # noqa: ANN401 - of Consumer
        """Return a consumer that writes the effect of every OrderPlaced."""
        consumer = self.consumer(policy, **settings)
        consumer.handler("OrderPlaced")(write_effect)
        return consumer

    def effects(self) -> list[str]:
        """Return the keys of the orders whose effects are committed, in order."""
        return [str(row[0]) for row in self.rows("SELECT note FROM effects ORDER BY ctid")]

    def rows(self, query: str) -> list[Any]:
        """Return the rows of a query."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def await_effects(self, *keys: object) -> None:
        """Wait until exactly these effects are there, in this order."""
        wanted = [str(key) for key in keys]
        await_true(lambda: len(self.effects()) >= len(wanted), what=f"effects {wanted}")
        assert self.effects() == wanted

    def await_parked(self, count: int) -> list[Any]:
        """Wait until so many events are parked; return key, type and error of each."""

        def parked() -> list[Any]:
            return self.rows("SELECT key, event_type, error FROM consumer_parked ORDER BY id")

        await_true(lambda: len(parked()) >= count, what=f"{count} parked events")
        assert len(parked()) == count, parked()
        return [(key and bytes(key)[6:].decode(), kind, error) for key, kind, error in parked()]

    def next_offset(self) -> int:
        """Return the sum of the stored offsets."""
        query = "SELECT coalesce(sum(next_offset), 0)::bigint FROM consumer_offsets"
        (row,) = self.rows(query)
        return int(row[0])


def write_effect(transaction: Transaction, event: Event) -> None:  # type: ignore[type-arg]
    """Write the effect of an order."""
    row = (event.payload["order_id"], event.key)
    transaction.execute("INSERT INTO effects (order_id, note) VALUES (%s, %s)", row)


@contextmanager
def running(*consumers: Consumer, tolerates: str = "\0") -> Iterator[None]:
    """Run consumers in threads during the block; at its end, raise their errors.

    An error that contains `tolerates` may come or not.
    """
    errors: list[BaseException] = []

    def run(consumer: Consumer) -> None:
        try:
            consumer.run()
        except BaseException as error:  # noqa: BLE001 - it is raised in the test
            errors.append(error)

    threads = [threading.Thread(target=run, args=(consumer,)) for consumer in consumers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        _stop(consumers, threads)
    for error in errors:
        if tolerates not in str(error):
            raise error


def _stop(consumers: Sequence[Consumer], threads: Sequence[threading.Thread]) -> None:
    for consumer in consumers:
        consumer.stop()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
