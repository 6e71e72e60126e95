"""Random kills under a storm of changes: nothing lost, nothing repeated, order kept (B3)."""

import pytest

from tests.acceptance.conftest import Service
from tests.acceptance.storm import Storm, kill_at_any_moment
from tests.effort import LONG, SEED, chance

STORMS, KILLS = (4, 25) if LONG else (1, 8)


@pytest.mark.parametrize("number", range(STORMS))
def test_random_kills_under_a_storm_of_changes_lose_and_repeat_nothing(
    service: Service, number: int
) -> None:
    moments = chance("storm", number)
    sidecar = service.sidecar
    sidecar.start_and_stream()
    oracle = service.oracle()
    storm = Storm(service, SEED + number)
    storm.begin()
    for kill in range(1, KILLS + 1):
        kill_at_any_moment(sidecar, moments, kill)
    storm.end()
    sidecar.await_phase("streaming", deadline=60)
    service.await_published()
    events = service.assert_exactly_once(oracle, "items")
    print(f"{storm.transactions} transactions, {KILLS} kills, {events} events, 0 lost, 0 repeated")
    assert storm.transactions > KILLS
