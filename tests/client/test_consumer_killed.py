"""Effects happen once, even if a consumer is killed at any step, or two members overlap."""

import os
import signal
import subprocess
import threading
from collections import Counter
from pathlib import Path

import pytest
from cdc_sidecar_client.consumer import Event, Policy, Retry, SchemaRegistry, Transaction

from cdc_sidecar.servers.kafka import KafkaBroker
from tests.client.billing_topic import Registry, Topic, placed
from tests.client.running import Service, running, write_effect
from tests.client.victim import FLAKY, POISON, Order, Step
from tests.waiting import await_true

_ROOT = Path(__file__).parents[2]
_ORDERS = 40
_KEYS = 4
_WALK = [step for step in Step if step not in (Step.NOWHERE, Step.REVOKED)]


def _send_orders(topic: Topic) -> None:
    for number in range(_ORDERS):
        topic.send(str(number % _KEYS), placed(number), "OrderPlaced")
    topic.flush()


def _order(service: Service, step: Step, instance: str = "one", batch: int = 1) -> Order:
    servers, name = service.topic.servers, service.topic.name
    registry, database = service.registry.url, service.database
    return Order(step, service.group, name, servers, registry, database, instance, batch)


def _start(order: Order) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(order.command(), cwd=_ROOT, env={**os.environ})


def _await_death(process: "subprocess.Popen[bytes]", step: Step) -> None:
    try:
        assert process.wait(30) == -signal.SIGKILL, f"{step} was not reached"
    finally:
        process.kill()
        process.wait()


def _finish(service: Service, order: Order) -> None:
    """Run a consumer that is not killed until it has handled everything, and stop it in order."""
    process = _start(order)
    try:
        await_true(lambda: service.next_offset() == _ORDERS, what="every event handled")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def _assert_once(service: Service) -> None:
    """Check the effects, and the parked events; retry these, and check all effects."""
    parked = [number for number in range(POISON, _ORDERS) if number % _KEYS == POISON % _KEYS]
    assert Counter(service.effects()) == Counter(
        str(number) for number in range(_ORDERS) if number not in parked
    )
    offsets = service.rows("SELECT record_offset FROM consumer_parked ORDER BY id")
    assert [offset for (offset,) in offsets] == parked
    retried = service.writing().retry_parked()
    assert (retried.handled, retried.failed) == (len(parked), {})
    orders = service.rows("SELECT order_id, count(*) FROM effects GROUP BY 1")
    assert len(orders) == _ORDERS
    assert {count for _, count in orders} == {1}
    assert service.consumer().list_parked() == []


@pytest.mark.parametrize("batch", [1, 10])
def test_a_consumer_killed_at_every_step_has_each_effect_once(service: Service, batch: int) -> None:
    assert FLAKY < POISON < _ORDERS
    _send_orders(service.topic)
    for step in _WALK if batch == 1 else [Step.IN_HANDLER, Step.AFTER_COMMIT, Step.PARKED]:
        _await_death(_start(_order(service, step, batch=batch)), step)
    _finish(service, _order(service, Step.NOWHERE, batch=batch))
    _assert_once(service)


def test_a_member_killed_while_partitions_move_leaves_each_effect_once(
    consumer_database: str, kafka: KafkaBroker, registry: Registry
) -> None:
    service = Service(consumer_database, Topic(kafka.bootstrap_servers, 4), registry)
    _send_orders(service.topic)
    victim = _start(_order(service, Step.REVOKED, "first"))
    await_true(lambda: len(service.effects()) > 4, what="the first member works")
    with running(service.writing()):
        _await_death(victim, Step.REVOKED)
        wanted = {str(number) for number in range(_ORDERS)}
        await_true(lambda: wanted <= _touched(service), deadline=40, what="every event")
    effects = Counter(service.effects())
    assert set(effects.values()) == {1}


def _touched(service: Service) -> set[str]:
    parked = service.rows("SELECT record_offset, partition FROM consumer_parked")
    done = len(service.effects()) + len(parked)
    return {str(number) for number in range(_ORDERS)} if done >= _ORDERS else set()


class _Slow:
    """A member whose handler waits, and which a second member of the same name has replaced."""

    def __init__(self, service: Service) -> None:
        self.entered, self.proceed = threading.Event(), threading.Event()
        self.consumer = service.consumer(kafka=_SAME)
        self.consumer.handler("OrderPlaced")(self._write)

    def _write(self, transaction: Transaction, event: Event[dict[str, object]]) -> None:
        write_effect(transaction, event)
        self.entered.set()
        assert self.proceed.wait(30)


_SAME = {"group.instance.id": "same"}
_WAITING = """\
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
AND wait_event_type = 'Lock'"""


def test_of_two_members_with_the_same_event_only_one_applies_it(service: Service) -> None:
    service.topic.place(*range(5))
    slow, heir = _Slow(service), service.writing(kafka=_SAME)
    with running(slow.consumer, tolerates="FENCED"):
        assert slow.entered.wait(30)
        with running(heir):
            await_true(lambda: service.rows(_WAITING) == [(1,)], what="the heir waits")
            slow.proceed.set()
            service.await_effects(*range(5))
            assert heir.counts.handled < 5


def test_a_member_that_was_replaced_before_its_transaction_applies_nothing(
    service: Service,
) -> None:
    service.topic.place(*range(5))
    paused, proceed = threading.Event(), threading.Event()
    stays_away = Policy(retry=Retry(initial=60, maximum=60))  # it would replace the other again
    registry = _PausingRegistry(service, paused, proceed)
    late = service.writing(stays_away, kafka=_SAME, registry=registry)
    with running(late, tolerates="FENCED"):
        assert paused.wait(30)
        with running(service.writing(kafka=_SAME)):
            service.await_effects(*range(5))
            proceed.set()
            service.topic.place(5)
            service.await_effects(*range(6))
    assert late.counts.handled == 0


class _PausingRegistry(SchemaRegistry):
    """Returns a schema only when it is told to."""

    def __init__(self, service: Service, paused: threading.Event, proceed: threading.Event) -> None:
        super().__init__(service.registry.url)
        self._paused, self._proceed = paused, proceed

    def schema(self, identifier: int) -> object:
        """Return a schema, later."""
        self._paused.set()
        assert self._proceed.wait(30)
        return super().schema(identifier)


def test_a_consumer_finishes_its_event_at_sigterm(service: Service) -> None:
    _send_orders(service.topic)
    process = _start(_order(service, Step.NOWHERE))
    await_true(lambda: service.next_offset() > 5, what="it works")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    done = service.next_offset()
    assert service.topic.committed(service.group) == done
    _finish(service, _order(service, Step.NOWHERE))
    _assert_once(service)


def test_sessions_that_the_server_ends_cost_no_event_and_repeat_none(service: Service) -> None:
    consumer = service.consumer()
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    broken: set[str] = set()

    @consumer.handler("OrderPlaced")
    def write(transaction: Transaction, event: Event[dict[str, object]]) -> None:
        write_effect(transaction, event)
        if event.key in ("3", "7") and event.key not in broken:
            broken.add(event.key)
            transaction.execute(kill)

    service.topic.place(*range(10))
    with running(consumer):
        service.await_effects(*range(10))
    assert (consumer.counts.failed, consumer.counts.parked) == (0, 0)
