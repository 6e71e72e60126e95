"""A sidecar that is killed at any point publishes each event once (I1–I5, B3, B10)."""

import itertools
from dataclasses import dataclass

import pytest

from cdc_sidecar.failpoints import VARIABLE, Failpoint
from tests.acceptance.conftest import Service
from tests.acceptance.workload import Workload
from tests.effort import LONG, SEED, chance

_FIRST_START = {
    Failpoint.AFTER_TOPICS_CREATED,
    Failpoint.AFTER_SLOT_INTENT,
    Failpoint.AFTER_SLOT_CREATED,
}
OF_SNAPSHOTS = {Failpoint.AFTER_FENCE, Failpoint.AFTER_CHUNK_READ, Failpoint.AFTER_MARKER}
"""The failpoints that `test_snapshot` passes."""
OF_OUTBOXES = {Failpoint.AFTER_PRUNED_BATCH}
"""The failpoints that `test_outbox_prune` passes."""
OF_HANGING = {
    Failpoint.AFTER_HANGING_NOTED,
    Failpoint.AFTER_HANGING_ABORTED,
    Failpoint.BEFORE_RESTORED,
}
"""The failpoints that `test_hanging_commits` passes."""
_POINTS = [point for point in Failpoint if point not in OF_SNAPSHOTS | OF_OUTBOXES | OF_HANGING]
_IN_EACH_PART = {
    Failpoint.BEFORE_PRODUCE,
    Failpoint.AFTER_PRODUCE,
    Failpoint.AFTER_POSITION,
    Failpoint.BEFORE_COMMIT,
    Failpoint.AFTER_COMMIT,
    Failpoint.BEFORE_ACKNOWLEDGE,
}
"""The failpoints that a split transaction passes once for each of its parts."""
_HITS = (1, 2, 4)  # passes: the first, the second and a later one


@dataclass(frozen=True)
class Kill:
    """A kill of the sidecar: the failpoint, its pass, and the workload."""

    failpoint: Failpoint
    workload: Workload
    hit: int = 1

    def __str__(self) -> str:
        """Return the name of the test case."""
        return f"{self.workload.value}-{self.failpoint.value}-{self.hit}"


def _hits(failpoint: Failpoint, workload: Workload) -> tuple[int, ...]:
    """Return the passes of the failpoint at which the sidecar is killed."""
    inside = workload is Workload.SPLIT and failpoint in _IN_EACH_PART
    return _HITS if inside else (1,)


def _every_kill() -> list[Kill]:
    return [
        Kill(failpoint, workload, hit)
        for failpoint, workload in itertools.product(_POINTS, Workload)
        for hit in _hits(failpoint, workload)
    ]


def _draw(failpoint: Failpoint) -> Kill:
    """Draw a kill at a failpoint. Neighbouring cases get different workloads."""
    workloads, place = list(Workload), list(Failpoint).index(failpoint)
    workload = workloads[(SEED + place) % len(workloads)]
    return Kill(failpoint, workload, chance(failpoint.value).choice(_hits(failpoint, workload)))


# without SEED each process of pytest would draw another name for the same test
@pytest.mark.parametrize("where", _every_kill() if LONG else _POINTS, ids=str)
def test_a_sidecar_killed_at_any_failpoint_publishes_each_event_once(
    service: Service, where: Kill | Failpoint
) -> None:
    kill = _draw(where) if isinstance(where, Failpoint) else where
    print(f"killed at {kill}")
    failpoint, workload = kill.failpoint, kill.workload
    sidecar = service.sidecar
    armed = {**workload.environment, VARIABLE: f"{failpoint.value}#{kill.hit}=kill"}
    if failpoint in _FIRST_START:
        sidecar.start(environment=armed)
        assert sidecar.await_exit() == -9, "the failpoint was never reached"
        sidecar.start(environment=workload.environment)
        sidecar.await_phase("streaming")
        oracle = service.oracle()
        workload.write(service, 0)
    else:
        sidecar.start_and_stream()
        oracle = service.oracle()
        Workload.SMALL.write(service, 0)
        service.await_published()
        sidecar.kill()
        workload.write(service, 1_000_000)
        sidecar.start(environment=armed)
        assert sidecar.await_exit() == -9, "the failpoint was never reached"
        Workload.SMALL.write(service, 2_000_000)
        sidecar.start(environment=workload.environment)
        sidecar.await_phase("streaming")
    service.await_published()
    service.assert_exactly_once(oracle, "items")
    assert bool(sidecar.events("transaction_split")) is (workload is Workload.SPLIT)


def test_a_long_transaction_is_one_kafka_transaction_and_hidden_until_it_ends(
    service: Service,
) -> None:
    sidecar = service.sidecar
    sidecar.start_and_stream()
    oracle = service.oracle()
    service.sql("INSERT INTO items SELECT n, n, 'row ' || n FROM generate_series(1, 30000) n")
    service.await_published()
    assert service.assert_exactly_once(oracle, "items") == 30000
    assert not sidecar.events("transaction_split")
    largest = max(event["bytes"] for event in sidecar.events("transaction_published"))
    assert largest > 5_000_000, "its parts were committed one by one"
