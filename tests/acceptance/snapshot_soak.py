"""A round of `make soak` with a snapshot: writers, kills, cut requests and commits that hang."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from psycopg.conninfo import make_conninfo

from tests.acceptance.brokers import service_on
from tests.acceptance.conftest import Service
from tests.acceptance.snapshot_oracle import assert_snapshot, count_rows
from tests.acceptance.stalled import StallingPostgres
from tests.acceptance.test_snapshot_storm import NOISE, writers
from tests.acceptance.wire import Api, Cut, Wire
from tests.waiting import await_true

ROWS: Final = 200_000
_PACE: Final = {'mode = "never"': 'mode = "initial"\nchunk_rows = 2000\nmax_rows_per_second = 8000'}
_STEP: Final = 4000  # rows between two faults
_PATIENCE: Final = 180.0  # seconds until everything is published


@dataclass
class Figures:
    """What was done and compared."""

    transactions: int = 0
    kills: int = 0
    cuts: int = 0  # of the wire, in all rounds
    stalls: int = 0  # of the synchronous standby
    events: int = 0
    rows: int = 0  # `r` events, each of them compared with the row at its place in the stream


def snapshot_round(
    make: Callable[..., Service],
    kafka: str,
    wire: Wire,
    postgres: StallingPostgres,
    dice: random.Random,
) -> Figures:
    """Read a table under faults until its snapshot is complete; compare every event.

    Raises:
        AssertionError: a row is wrong at its place, lost or repeated.

    """
    figures, large = Figures(), dice.random() < 0.5
    label = NOISE if large else "'x' || {id}"
    service = _prepare(service_on(kafka, make, seen_at=f"127.0.0.1:{wire.port}", **_PACE), large)
    oracle = service.oracle()
    filled = f"generate_series(1, {ROWS}) n"
    service.sql(f"INSERT INTO items SELECT n, n, {label.format(id='n')} FROM {filled}")
    waiting = make_conninfo(service.dsn, options="-c synchronous_commit=on")
    with writers(replace(service, dsn=waiting), dice, label, ROWS) as busy:
        service.sidecar.start()
        while not service.sidecar.events("snapshot_completed"):
            service.sidecar.await_phase("streaming", deadline=60)
            _await_rows(service)
            _fault(service, wire, postgres, dice, figures, len(busy))
        figures.transactions = sum(writer.transactions for writer in busy)
    wire.disarm()
    service.sidecar.await_phase("streaming", deadline=60)
    service.await_published(_PATIENCE)
    seen = assert_snapshot(service, oracle, "items")
    figures.events, figures.rows = len(seen), sum(event.op == "r" for event in seen)
    figures.cuts = wire.cuts
    return figures


def _prepare(service: Service, large: bool) -> Service:  # noqa: FBT001 - two kinds of tables
    """Let our own commits wait for nobody; give the table large values, or none."""
    service.dsn = make_conninfo(service.dsn, options="-c synchronous_commit=local")
    if large:
        service.sql("ALTER TABLE items ALTER label SET STORAGE EXTERNAL")
        service.sql("ALTER TABLE items SET (toast_tuple_target = 128)")
    return service


def _await_rows(service: Service) -> None:
    """Wait until some rows are published since the last fault."""
    until = count_rows(service) + _STEP

    def reached() -> bool:
        done = service.sidecar.events("snapshot_completed")
        return bool(done) or service.sidecar.status() is None or count_rows(service) >= until

    await_true(reached, deadline=60, what="rows are published")


def _fault(
    service: Service,
    wire: Wire,
    postgres: StallingPostgres,
    dice: random.Random,
    figures: Figures,
    commits: int,
) -> None:
    """Kill the sidecar, cut the wire at a request, or let commits hang and kill it meanwhile."""
    kind = dice.randrange(3)
    if kind == 0:
        wire.arm(dice.choice(list(Api)), dice.choice(list(Cut)))
        return
    if kind == 1:
        _kill(service, figures)
        return
    figures.stalls += 1
    with postgres.frozen(service, commits):
        _await_rows(service)
        if dice.random() < 0.5:
            _kill(service, figures)


def _kill(service: Service, figures: Figures) -> None:
    figures.kills += 1
    service.sidecar.kill()
    service.sidecar.start()
