"""Contenders in turn drain the same backlog, each through a copy of the same slot."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from confluent_kafka.admin import AdminClient

from benchmarks.contenders import Contender, Run
from benchmarks.meters import (
    SENT,
    Drained,
    Ends,
    Meter,
    SentLsn,
    StableEnds,
    count_records,
    count_sent,
    drained,
    forget_peak,
)
from benchmarks.source import Source, say
from benchmarks.truth import Tables, Truth, read_tables, read_truth
from cdc_sidecar.errors import ServerFailed

_LOOK_SECONDS: Final = 0.05
_MANY: Final = 10  # tables: their offsets are asked for less often
_QUIET_SECONDS: Final = 1.5  # without movement, at the end
_STUCK_SECONDS: Final = 600.0  # without movement, before it
_START_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Drain:
    """One measured run; `start` is in seconds, until the slot was in use."""

    contender: Contender
    drained: Drained
    truth: Truth | None
    start: float


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender and how often it runs; `warm` before that, unmeasured."""

    contender: Contender
    rounds: int
    warm: int = 0


def drain_in_turn(
    source: Source, entries: Sequence[Entry], fail: Callable[[Contender, Exception], None]
) -> Iterator[Drain]:
    """Let contenders drain the backlog, A B C A B C; yield each run as it ends.

    `fail` is told of one that did not come through, which then gets no further turn; or raises.
    """
    tables = read_tables(source) if source.workload.published else None
    failed = set()
    for number, entry in turns(entries):
        if entry.contender in failed:
            continue
        name = f"{source.workload.name}_{entry.contender.name}_{number}"
        try:
            run = _drain(source, entry.contender, name, tables)
        except (ServerFailed, OSError) as error:
            fail(entry.contender, error)
            failed.add(entry.contender)
            continue
        measured = number >= entry.warm
        say(f"{name}: {_summary(run)}{'' if measured else ' (warm-up)'}")
        if measured:
            yield run


def turns(entries: Sequence[Entry]) -> Iterator[tuple[int, Entry]]:
    """Yield warm-ups first, then rounds in which each contender comes once."""
    for entry in entries:
        yield from ((number, entry) for number in range(entry.warm))
    for number in range(max(entry.rounds for entry in entries)):
        for entry in entries:
            if number < entry.rounds:
                yield entry.warm + number, entry


def _summary(run: Drain) -> str:
    truth = f", {run.truth}" if run.truth else ""
    return f"{run.drained.rate:,.0f} events/s{truth}"


def _drain(source: Source, contender: Contender, name: str, tables: Tables | None) -> Drain:
    kafka = source.servers.kafka.bootstrap_servers
    publishes = contender.publishes and tables is not None
    with source.slot(name) as slot, psycopg.connect(source.dsn, autocommit=True) as connection:
        begun = time.monotonic()
        contender.start(Run(slot, source))
        try:
            walsender = _await_walsender(connection, slot, contender)
            start = time.monotonic() - begun
            processes = {
                contender.name: contender.pid,
                "walsender": walsender,
                "broker": source.servers.kafka.pid,
            }
            look = StableEnds(kafka, f"{name}.") if publishes else SentLsn(connection, slot)
            meter = Meter(look, processes)
            _watch(meter, contender, source, publishes=publishes)
            count, truth = count_sent(source.backlog), None
            if isinstance(look, StableEnds) and tables:
                truth = read_truth(
                    source, tables, kafka=kafka, places=look.places, registry=contender.registry
                )
                count = count_records(truth.offsets)
            elif contender.publishes:
                came = sum(StableEnds(kafka, f"{name}.")().values())
                truth = Truth(0, came, 0, 0, {})
        finally:
            contender.stop()
    _delete_topics(kafka, name)
    figures = drained(meter.samples, count, meter.peak, source.workload.warm)
    return Drain(contender, figures, truth, start)


def _await_walsender(connection: psycopg.Connection, slot: str, contender: Contender) -> int:
    """Return the process that serves the slot."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and contender.is_alive():
        row = connection.execute(
            "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", (slot,)
        ).fetchone()
        if row and row[0]:
            forget_peak(contender.pid)
            return int(row[0])
        time.sleep(0.01)
    raise ServerFailed(f"{contender.name} did not begin on its slot:\n{contender.last_words}")


def _watch(meter: Meter, contender: Contender, source: Source, *, publishes: bool) -> None:
    """Sample until everything has come, or the contender has come to its own end."""
    done = _everything(source, publishes=publishes)
    pause = _LOOK_SECONDS * (4 if len(source.workload.tables) > _MANY else 1)
    asked = time.monotonic()
    while True:
        complete = done(meter.sample())
        still = time.monotonic() - meter.moved_at
        if complete and still > _QUIET_SECONDS:
            return
        if still > _STUCK_SECONDS:
            raise ServerFailed(
                f"{contender.name} has come no further for {still:.0f} s:\n{contender.last_words}"
            )
        if time.monotonic() - asked > 1.0 or not contender.publishes:
            asked = time.monotonic()
            if not contender.is_alive():
                if contender.publishes:
                    raise ServerFailed(f"{contender.name} has ended:\n{contender.last_words}")
                meter.finish({SENT: source.backlog.end})
                return
        time.sleep(pause)


def _everything(source: Source, *, publishes: bool) -> Callable[[Ends], bool]:
    """Return what tells whether all may have come: transaction markers count as offsets, too."""
    backlog = source.backlog
    if publishes:
        return lambda ends: sum(ends.values()) >= backlog.events
    return lambda ends: ends.get(SENT, 0) >= backlog.end


def _delete_topics(kafka: str, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    names = [name for name in admin.list_topics(timeout=20).topics if name.startswith(f"{prefix}.")]
    if names:
        for answer in admin.delete_topics(names, operation_timeout=20).values():
            answer.result()
