"""An event that cannot be handled is parked with the later ones of its key, and can be retried."""

import json
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cdc_sidecar_client.consumer import (
    Consumer,
    Event,
    Park,
    Policy,
    Retry,
    Transaction,
    schema_sql,
)

from tests.client.billing_topic import framed, order_id, placed
from tests.client.running import QUICK, Service, running, write_effect
from tests.waiting import await_true

_ROOT = Path(__file__).parents[2]


def _refusing(service: Service, *keys: str, policy: Policy | None = None) -> Consumer:
    """Return a consumer whose handler refuses some keys, after it has written the effect."""
    consumer = service.consumer(policy)

    @consumer.handler("OrderPlaced")
    def write(transaction: Transaction, event: Event[dict[str, Any]]) -> None:
        write_effect(transaction, event)
        if event.key in keys:
            raise ValueError(f"no customer {event.key}")

    return consumer


def test_later_events_of_a_parked_key_wait_behind_it(service: Service) -> None:
    for key in ("1", "2", "1", None, "2", "1"):
        service.topic.place_under(key, 1)
    consumer = _refusing(service, "1")
    with running(consumer):
        parked = service.await_parked(3)
        await_true(lambda: service.next_offset() == 6, what="all events passed")
    assert service.effects() == ["2", "None", "2"]
    behind = "behind a parked event of its key"
    assert [error for *_, error in parked] == ["ValueError: no customer 1", behind, behind]
    counts = consumer.counts
    assert (counts.handled, counts.parked, counts.failed) == (3, 3, QUICK.attempts)


def test_parked_events_are_retried_in_order_and_then_their_key_is_free(service: Service) -> None:
    service.topic.place_under("1", 1, 2, 3)
    consumer = _refusing(service, "1")
    with running(consumer):
        service.await_parked(3)
        for retrying, error in (
            (consumer, "ValueError: no customer 1"),
            (service.consumer(), "UnknownEventType: no handler of type 'OrderPlaced'"),
        ):
            retried = retrying.retry_parked()
            assert (retried.handled, list(retried.failed.values())) == (0, [error])
        assert len(consumer.list_parked()) == 3
        assert service.writing().retry_parked().handled == 3
        service.topic.place_under("1", 4)
        await_true(lambda: consumer.counts.failed == 2 * QUICK.attempts, what="it was tried")
        service.await_parked(1)
    assert [row.offset for row in consumer.list_parked()] == [3]
    assert service.effects() == ["1", "1", "1"]


def test_delays_grow_up_to_their_maximum() -> None:
    retry = Retry(initial=0.05, factor=3)
    assert [retry.delay(failures) for failures in (1, 2, 3)] == pytest.approx([0.05, 0.15, 0.45])
    assert Retry().delay(2000) == Retry().maximum


def test_a_failed_event_is_tried_again_with_growing_delays_and_the_next_ones_wait(
    service: Service,
) -> None:
    retry = Retry(attempts=4, initial=0.05, factor=3)
    attempts = []
    consumer = service.consumer(Policy(retry=retry))

    @consumer.handler("OrderPlaced")
    def write(transaction: Transaction, event: Event[dict[str, Any]]) -> None:
        attempts.append(event.key)
        if attempts.count("1") < 3:
            transaction.execute("INSERT INTO nowhere VALUES (1)")
        write_effect(transaction, event)

    service.topic.place(1, 2)
    with running(consumer):
        service.await_effects(1, 2)
    assert attempts == ["1", "1", "1", "2"]
    assert consumer.counts.failed == 2


def _refuse(_transaction: Transaction, _event: Event[Any]) -> None:
    raise Park("this customer is blocked")


def _swallow(transaction: Transaction, event: Event[Any]) -> None:
    write_effect(transaction, event)
    with suppress(psycopg.errors.DivisionByZero):
        transaction.execute("SELECT 1 / 0")


def _save(transaction: Transaction, event: Event[Any]) -> None:
    with suppress(psycopg.errors.DivisionByZero), transaction.transaction():
        transaction.execute("SELECT 1 / 0")
    write_effect(transaction, event)


def _commit(transaction: Transaction, event: Event[Any]) -> None:
    write_effect(transaction, event)
    transaction.commit()


def test_a_handler_may_park_at_once_and_a_swallowed_error_of_the_database_is_a_failure(
    service: Service,
) -> None:
    consumer = service.consumer(Policy(retry=QUICK))
    for key, handler in enumerate((_refuse, _swallow, _save, _commit)):
        consumer.handler(handler.__name__)(handler)
        service.topic.send(str(key), placed(key), handler.__name__)
    service.topic.flush()
    with running(consumer):
        parked = service.await_parked(3)
        service.await_effects(2)
    assert [kind for _, kind, _ in parked] == ["_refuse", "_swallow", "_commit"]
    assert parked[0][2] == "Park: this customer is blocked"
    assert "put the statement into `with transaction.transaction():`" in parked[1][2]
    assert consumer.counts.failed == 1 + 2 * QUICK.attempts


def _broken_values() -> dict[str, bytes]:
    good = placed(1)
    return {
        "cut": good[:-3],
        "longer": good + b"!",
        "no such schema": framed(1, "x")[:1] + (77).to_bytes(4, "big") + b"x",
        "not an order": framed(4, {"order_id": "0" * 32, "reason": "OUT_OF_STOCK"}),
    }


def test_what_cannot_be_decoded_is_parked_and_never_passed_over(service: Service) -> None:
    broken = _broken_values()
    for key, value in broken.items():
        service.topic.send(key, value, "OrderPlaced")
    service.topic.place(5)
    consumer = service.consumer()

    @consumer.handler("OrderPlaced")
    def write(transaction: Transaction, event: Event[dict[str, Any]]) -> None:
        assert event.payload["customer"] == "Ada"
        write_effect(transaction, event)

    with running(consumer):
        parked = service.await_parked(4)
        service.await_effects(5)
    assert [key for key, *_ in parked] == list(broken)
    errors = [error.split(":")[0] for *_, error in parked]
    assert errors == ["Undecodable", "Undecodable", "SchemaMissing", "KeyError"]


def test_a_registry_that_is_away_delays_events_and_parks_none(service: Service) -> None:
    service.registry.status = 503
    service.topic.place(1)
    asked = len(service.registry.requests)
    consumer = service.writing()
    with running(consumer):
        await_true(lambda: len(service.registry.requests) > asked, what="the registry is asked")
        service.registry.status = None
        service.await_effects(1)
    assert (consumer.counts.failed, consumer.counts.parked) == (0, 0)


def test_two_retries_at_a_time_handle_each_event_once_and_in_order(service: Service) -> None:
    service.topic.place_under("1", *range(20))
    with running(_refusing(service, "1")):
        service.await_parked(20)
    ready, handled = threading.Barrier(2), []

    def retry() -> None:
        consumer = service.writing()
        ready.wait(30)
        handled.append(consumer.retry_parked().handled)

    threads = [threading.Thread(target=retry) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(handled) == 20
    orders = service.rows("SELECT order_id FROM effects ORDER BY ctid")
    assert [order for (order,) in orders] == [order_id(number) for number in range(20)]


_APP = """\
from cdc_sidecar_client.consumer import Consumer
consumer = Consumer({group!r}, topics=[{topic!r}], bootstrap_servers="x",
    registry={registry!r}, database={database!r})

@consumer.handler("OrderPlaced")
def write(transaction, event):
    assert event.key != "3", "still unknown"
    transaction.execute("INSERT INTO effects VALUES (NULL, %s)", [event.key])
"""


class _Shell:
    """Runs the command in a folder with the module of a service."""

    def __init__(self, service: Service, folder: Path) -> None:
        names = {"group": service.group, "topic": service.topic.name}
        places = {"registry": service.registry.url, "database": service.database}
        (folder / "app.py").write_text(_APP.format(**names, **places))
        self._folder = folder

    def run(self, *words: str, status: int = 0) -> str:
        """Return what a command prints."""
        command = [sys.executable, "-m", "cdc_sidecar_client.consumer", *words]
        done = subprocess.run(
            command, cwd=self._folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr


def test_the_command_lists_retries_and_discards(service: Service, tmp_path: Path) -> None:
    service.topic.place(1, 1, 2, 3)
    with running(_refusing(service, "1", "2", "3")):
        service.await_parked(4)
    run, app = _Shell(service, tmp_path).run, "app:consumer"
    listed = [json.loads(line) for line in run("parked", "list", app).splitlines()]
    assert {one["event_type"] for one in listed} == {"OrderPlaced"}
    assert [one["error"] for one in listed][2:] == [f"ValueError: no customer {n}" for n in (2, 3)]
    ids = [str(one["id"]) for one in listed]
    assert run("parked", "retry", app, ids[1]) == "2 handled\n"
    assert service.effects() == ["1", "1"]
    again = run("parked", "retry", app, status=1)
    assert again == f"1 handled\n{ids[3]}: AssertionError: still unknown\n"
    assert run("parked", "discard", app, ids[3]) == "1 discarded\n"
    assert run("parked", "list", app) == ""
    assert service.effects() == ["1", "1", "2"]
    assert "error: app:nobody: " in run("parked", "list", "app:nobody", status=2)
    assert run("schema-sql") == schema_sql()
