"""Random kills under a storm of changes: nothing lost, nothing repeated, order kept (B3)."""

import os
import random
import threading

from tests.acceptance.conftest import Service
from tests.acceptance.storm import Storm
from tests.waiting import await_true

KILLS = int(os.environ.get("STORM_KILLS", "8"))
SEED = int(os.environ.get("STORM_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)


def test_random_kills_under_a_storm_of_changes_lose_and_repeat_nothing(service: Service) -> None:
    print(f"seed {SEED}: STORM_SEED={SEED} runs it again")
    chance = random.Random(SEED)  # noqa: S311 - a reproducible test
    sidecar = service.sidecar
    sidecar.start_and_stream()
    oracle = service.oracle()
    storm = Storm(service, SEED)
    storm.begin()
    moment = threading.Event()
    for number in range(1, KILLS + 1):
        moment.wait(chance.uniform(0, 1.5))  # any moment: before, while or after it streams
        sidecar.kill()
        sidecar.start()
        if number % 2:
            await_true(
                lambda: (sidecar.status() or {}).get("phase") == "streaming",
                deadline=60,
                what="it streams again",
            )
    storm.end()
    sidecar.await_phase("streaming", deadline=60)
    service.await_published()
    events = service.assert_exactly_once(oracle, "items")
    print(f"{storm.transactions} transactions, {KILLS} kills, {events} events, 0 lost, 0 repeated")
    assert storm.transactions > KILLS
