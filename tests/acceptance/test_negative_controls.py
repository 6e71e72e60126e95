"""With one rule switched off, the tests find the fault that the rule prevents (I1–I5, I7)."""

import signal
from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.control import assert_seen, start, stream_on
from tests.acceptance.events import Oracle
from tests.acceptance.own_postgres import await_stopped
from tests.acceptance.sabotage import Rule
from tests.effort import LONG
from tests.waiting import await_true

ROWS = 30  # enough that a missing part is seen
BOTH = (True, False) if LONG else (True,)
"""Whether the rule is off. The long run also shows that with the rule on nothing is wrong."""

sabotaged = pytest.mark.parametrize("off", BOTH, ids=lambda off: "rule_off" if off else "rule_on")


def _insert(service: Service, rows: int = ROWS, label: str = "'x'") -> None:
    service.sql(f"INSERT INTO items SELECT n, n, {label} FROM generate_series(1, {rows}) n")


def _insert_and_die(service: Service, failpoint: str, *rules: Rule) -> Oracle:
    """Write rows for a sidecar that is killed at the failpoint that they reach."""
    start(service, failpoint, *rules)
    service.sidecar.await_phase("streaming")
    oracle = service.oracle()
    _insert(service)
    assert service.sidecar.await_exit() == -9
    return oracle


def _assert_harm(service: Service, oracle: Oracle, *, off: bool, repeated: int = ROWS) -> None:
    if off:
        assert_seen(service, oracle, repeated=repeated)
    else:
        service.assert_exactly_once(oracle, "items")


@sabotaged
def test_a_position_committed_apart_from_its_events_repeats_them(
    service: Service, *, off: bool
) -> None:
    rules = [Rule.ONE_COMMIT] * off
    oracle = _insert_and_die(service, "after_position=kill", *rules)
    stream_on(service)
    _assert_harm(service, oracle, off=off)


@sabotaged
def test_a_position_read_before_the_fence_misses_a_commit_in_doubt(
    service: Service, make_service: Callable[..., Service], *, off: bool
) -> None:
    first = service.sidecar
    start(service, "before_commit=stop")
    first.await_phase("streaming")
    oracle = service.oracle()
    _insert(service)
    await_stopped(first.process.pid)
    service.sql(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
        f" WHERE slot_name = '{service.name}_cdc'"
    )
    second = make_service(TABLES + MARKS, name=service.name)
    start(second, "after_look=stop", *[Rule.FENCE_THEN_READ] * off)
    await_stopped(second.sidecar.process.pid)
    first.process.send_signal(signal.SIGCONT)
    await_true(lambda: first.events("transaction_published"), what="the first committed")
    first.kill()
    second.sidecar.process.send_signal(signal.SIGCONT)
    second.sidecar.await_phase("streaming", deadline=60)
    second.await_published()
    _assert_harm(second, oracle, off=off)


@sabotaged
def test_a_position_read_to_the_stable_end_misses_what_stands_behind_an_open_transaction(
    service: Service, *, off: bool
) -> None:
    start(service, "before_acknowledge=kill")
    service.sidecar.await_phase("streaming")
    oracle = service.oracle()
    foreign = Producer({
        "bootstrap.servers": service.kafka, "transactional.id": f"{service.name}.foreign"
    })  # fmt: skip
    foreign.init_transactions(20)
    foreign.begin_transaction()
    foreign.produce(f"_cdc.{service.name}.position", b"{}", b"of somebody else")
    assert foreign.flush(20) == 0
    _insert(service)
    assert service.sidecar.await_exit() == -9
    start(service, "", *[Rule.HIGH_WATERMARK] * off)
    if not off:
        service.sidecar.await_phase("claiming")
        foreign.abort_transaction(20)
    service.sidecar.await_phase("streaming", deadline=60)
    service.await_published()
    _assert_harm(service, oracle, off=off)


def test_what_is_acknowledged_before_its_commit_is_lost_unless_the_slot_is_checked(
    service: Service,
) -> None:
    oracle = _insert_and_die(
        service, "before_commit=delay,after_acknowledge=kill", Rule.PERSIST_THEN_ACKNOWLEDGE
    )
    start(service)
    assert service.sidecar.await_exit() == 3
    assert service.sidecar.events("sidecar_halted")[-1]["code"] == "CDC-504"
    stream_on(service, Rule.SLOT_CHECK)
    assert_seen(service, oracle, lost=ROWS)


@sabotaged
def test_a_replayed_transaction_that_is_not_skipped_is_repeated(
    service: Service, *, off: bool
) -> None:
    oracle = _insert_and_die(service, "before_acknowledge=kill")
    stream_on(service, *[Rule.SKIP_COVERED] * off)
    _assert_harm(service, oracle, off=off)


@sabotaged
def test_a_split_transaction_replayed_without_its_cursor_is_repeated(
    service: Service, *, off: bool
) -> None:
    start(service, "after_commit#2=kill", split=True)
    service.sidecar.await_phase("streaming")
    oracle = service.oracle()
    _insert(service, rows=300, label="repeat('x', 10000)")
    assert service.sidecar.await_exit() == -9
    published = service.sidecar.events("transaction_split")[-1]["events"]
    stream_on(service, *[Rule.CURSOR] * off)
    _assert_harm(service, oracle, off=off, repeated=published)
