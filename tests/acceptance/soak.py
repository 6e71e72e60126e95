"""`make soak`: a storm of changes, kills and cuts of the wire, compared round by round.

Each round has its own database, topics and oracle, so that a long run can be compared too. Every
second round has a snapshot of 200,000 rows beside its storm.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.acceptance.brokers import broker_behind_wire, service_on
from tests.acceptance.conftest import Service, service_maker
from tests.acceptance.events import (
    Oracle,
    assert_same_events,
    count_differences,
    read_events,
)
from tests.acceptance.snapshot_soak import Figures, snapshot_round
from tests.acceptance.stalled import stalling_postgres
from tests.acceptance.storm import Storm, kill_at_any_moment
from tests.acceptance.wire import Api, Cut, Wire
from tests.conftest import new_database

ROUND: Final = 15.0  # seconds of storm; the comparison takes about as long
_LAST: Final = 5.0  # seconds: no round is started for less
_CATCH_UP: Final = 120.0  # seconds to publish the rest of a round: some ten are usual


@dataclass
class Totals(Figures):
    """The figures of all rounds."""

    rounds: int = 0
    lost: int = 0
    repeated: int = 0
    faults: int = 0  # rounds that failed otherwise, or were out of order

    def add(self, round_: Figures) -> None:
        """Add the figures of a round with a snapshot."""
        self.transactions += round_.transactions
        self.kills += round_.kills
        self.cuts = round_.cuts
        self.stalls += round_.stalls
        self.events += round_.events
        self.rows += round_.rows

    def __str__(self) -> str:
        """Return the last line of a soak."""
        return (
            f"{self.transactions} transactions, {self.kills} kills, {self.cuts} cuts, "
            f"{self.stalls} stalls, {self.rows} rows of snapshots, "
            f"{self.lost} lost, {self.repeated} repeated"
        )


class Progress:
    """One line that is overwritten on a terminal; otherwise a line for each round."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = time.monotonic()
        self._terminal = sys.stdout.isatty()

    @property
    def left(self) -> float:
        """The seconds that remain."""
        return self._begun + self._seconds - time.monotonic()

    def show(self, totals: Totals, storm: Storm | None = None) -> None:
        """Show the progress. `storm` is running and not in the totals yet."""
        if storm is not None and not self._terminal:
            return
        transactions = totals.transactions + (storm.transactions if storm else 0)
        line = (
            f"{self._seconds - self.left:4.0f} of {self._seconds:.0f} s, round {totals.rounds}: "
            f"{transactions} transactions, {totals.kills} kills, {totals.cuts} cuts, "
            f"{totals.events} events compared"
        )
        print(f"\r{line}\x1b[K" if self._terminal else line, end="", flush=True)
        if storm is None:
            print(flush=True)


def main() -> int:
    """Run all rounds; return 1 if an event was lost, repeated or out of order, else 0."""
    arguments = _arguments()
    seed = arguments.seed
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    progress, totals = Progress(arguments.seconds), Totals()
    print(
        f"{arguments.seconds:g} s with seed {seed}: real servers, a storm of changes, kills, cuts"
    )
    with stalling_postgres(folder) as postgres, broker_behind_wire() as (broker, wire):
        while progress.left > _LAST or not totals.rounds:
            totals.rounds += 1
            try:
                with (
                    new_database(postgres.server) as dsn,
                    service_maker(dsn, broker.bootstrap_servers, folder) as make,
                ):
                    dice = random.Random(f"{seed}/{totals.rounds}")  # noqa: S311 - reproducible
                    if totals.rounds % 2:
                        _storm(make, broker.bootstrap_servers, wire, dice, progress, totals)
                    else:
                        figures = snapshot_round(
                            make, broker.bootstrap_servers, wire, postgres, dice
                        )
                        totals.add(figures)
            except AssertionError as error:
                totals.faults += 1
                progress.show(totals)
                fact = str(error).partition("\n")[0]
                print(f"round {totals.rounds}: {fact}")
                break
            progress.show(totals)
    print(totals)
    if totals.faults:
        print(f"run again with: make soak SECONDS={arguments.seconds:g} SEED={seed}")
        print(f"configurations and logs: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 10**6))
    return parser.parse_args()


def _storm(
    make: Callable[..., Service],
    kafka: str,
    wire: Wire,
    chance: random.Random,
    progress: Progress,
    totals: Totals,
) -> None:
    """Run writers, kills and cuts until the round is over; then compare."""
    service = service_on(kafka, make, seen_at=f"127.0.0.1:{wire.port}")
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    storm = Storm(service, chance.randrange(10**6))
    storm.begin()
    end = time.monotonic() + min(ROUND, progress.left)
    number = 0
    while time.monotonic() < end:
        number += 1
        if chance.random() < 0.4:
            wire.arm(chance.choice(list(Api)), chance.choice(list(Cut)))
        kill_at_any_moment(service.sidecar, chance, number)
        totals.kills += 1
        totals.cuts = wire.cuts
        progress.show(totals, storm)
    wire.disarm()
    storm.end()
    totals.transactions += storm.transactions
    service.sidecar.await_phase("streaming", deadline=_CATCH_UP)
    service.await_published(_CATCH_UP)
    _compare(service, oracle, totals)


def _compare(service: Service, oracle: Oracle, totals: Totals) -> None:
    """Add the lost and the repeated events; fail if there are any or the order differs."""
    expected = oracle.expected()
    seen = read_events(service.kafka, service.name, service.topics("items"))
    lost, repeated = count_differences(expected, seen)
    totals.events += len(expected)
    totals.lost += lost
    totals.repeated += repeated
    assert_same_events(expected, seen)


if __name__ == "__main__":
    sys.exit(main())
