"""Contenders drain the same backlog in turn, each through a copy of the same slot."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from confluent_kafka.admin import AdminClient

from benchmarks.contenders import Contender, Run, failed, not_started
from benchmarks.meters import (
    SENT,
    CopiedRows,
    Drained,
    Ends,
    Meter,
    SentLsn,
    StableEnds,
    count_copied,
    count_records,
    count_sent,
    drained,
    forget_peak,
)
from benchmarks.source import SourceDatabase, say
from benchmarks.truth import Tables, Truth, read_tables, read_truth
from cdc_sidecar.errors import ServerFailed

_SAMPLE_SECONDS: Final = 0.05  # 20 samples a second: 2 % of the shortest full drain
_MANY_TABLES: Final = 10  # from here on, asking for all offsets costs the broker more
_MANY_TABLES_FACTOR: Final = 4  # so they are asked for this much less often
_ALIVE_SECONDS: Final = 1.0  # between two checks whether the contender has failed
_QUIET_SECONDS: Final = 1.5  # without progress at the end, so that repeated events would be seen
_STUCK_SECONDS: Final = (
    600.0  # without progress before the end: far beyond any pause of a contender that works
)
_START_SECONDS: Final = 60.0  # a start takes about a second; after a minute it has failed
_POLL_SECONDS: Final = 0.01  # between two reads of a slot that starts
_ADMIN_SECONDS: Final = 20  # for one request to the broker, which is busy


@dataclass(frozen=True, slots=True)
class Drain:
    """One measured run. `start` is the time in seconds until the slot was in use."""

    contender: Contender
    drained: Drained
    truth: Truth | None
    start: float


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender, its number of measured runs, and the number of warm-up runs before them."""

    contender: Contender
    rounds: int
    warm: int = 0


def drain_in_turn(
    source: SourceDatabase, entries: Sequence[Entry], fail: Callable[[Contender, Exception], None]
) -> Iterator[Drain]:
    """Let contenders drain the backlog in turn, A B C A B C; yield each run when it ends.

    `fail` is called if a contender fails. It may raise; otherwise the contender is left out from
    then on.
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
    """Yield the warm-up runs, then rounds in which each contender runs once."""
    for entry in entries:
        yield from ((number, entry) for number in range(entry.warm))
    for number in range(max(entry.rounds for entry in entries)):
        for entry in entries:
            if number < entry.rounds:
                yield entry.warm + number, entry


def _summary(run: Drain) -> str:
    truth = f", {run.truth}" if run.truth else ""
    return f"{run.drained.rate:,.0f} events/s{truth}"


Progress = StableEnds | SentLsn | CopiedRows


def _drain(source: SourceDatabase, contender: Contender, name: str, tables: Tables | None) -> Drain:
    kafka = source.servers.kafka.bootstrap_servers
    publishes = contender.publishes and tables is not None
    with source.slot(name) as slot, psycopg.connect(source.dsn, autocommit=True) as connection:
        begun = time.monotonic()
        contender.start(Run(slot, source))
        try:
            processes = {contender.name: contender.pid, "broker": source.servers.kafka.pid}
            if not source.workload.snapshot:  # the stream begins before the snapshot, or after it
                processes["walsender"] = _await_walsender(connection, slot, contender)
            forget_peak(contender.pid)
            start = time.monotonic() - begun
            progress = _progress(source, connection, slot, publishes=publishes)
            meter = Meter(progress, processes)
            _watch(meter, contender, source, publishes=publishes)
            truth = _truth(source, contender, name, progress, tables)
        finally:
            contender.stop()
    _delete_topics(kafka, name)
    count = _counter(source, progress, truth)
    figures = drained(meter.samples, count, meter.peak, source.workload.warm)
    return Drain(contender, figures, truth, start)


def _progress(
    source: SourceDatabase, connection: psycopg.Connection, slot: str, *, publishes: bool
) -> Progress:
    if publishes:
        return StableEnds(source.servers.kafka.bootstrap_servers, f"{slot}.")
    return CopiedRows(connection) if source.workload.snapshot else SentLsn(connection, slot)


def _counter(
    source: SourceDatabase, progress: Progress, truth: Truth | None
) -> Callable[[Ends], int]:
    """Return the function that counts the events up to some progress."""
    if isinstance(progress, CopiedRows):
        return count_copied
    if truth and isinstance(progress, StableEnds):
        return count_records(truth.offsets)
    return count_sent(source.backlog)


def _truth(
    source: SourceDatabase,
    contender: Contender,
    name: str,
    progress: Progress,
    tables: Tables | None,
) -> Truth | None:
    """Compare the published events with the tables; without tables, none may be published."""
    kafka = source.servers.kafka.bootstrap_servers
    if isinstance(progress, StableEnds) and tables:
        return read_truth(
            source, tables, kafka=kafka, partitions=progress.partitions, registry=contender.registry
        )
    if contender.publishes:
        return Truth(0, sum(StableEnds(kafka, f"{name}.")().values()), 0, 0, {})
    return None


def _await_walsender(connection: psycopg.Connection, slot: str, contender: Contender) -> int:
    """Return the process id of the walsender that serves the slot."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and contender.is_alive():
        row = connection.execute(
            "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", (slot,)
        ).fetchone()
        if row and row[0]:
            return int(row[0])
        time.sleep(_POLL_SECONDS)
    raise not_started(contender)


def _watch(meter: Meter, contender: Contender, source: SourceDatabase, *, publishes: bool) -> None:
    """Sample until everything has arrived, or until the contender has ended."""
    is_complete = _completeness(source, publishes=publishes)
    many = len(source.workload.tables) > _MANY_TABLES
    pause = _SAMPLE_SECONDS * (_MANY_TABLES_FACTOR if many else 1)
    asked = time.monotonic()
    while True:
        complete = is_complete(meter.sample())
        still = time.monotonic() - meter.moved_at
        if complete and still > _QUIET_SECONDS:
            return
        if still > _STUCK_SECONDS:
            raise failed(contender, f"has made no progress for {still:.0f} s")
        if time.monotonic() - asked > _ALIVE_SECONDS or not contender.publishes:
            asked = time.monotonic()
            if not contender.is_alive():
                if contender.publishes:
                    raise failed(contender, "has ended")
                meter.finish({SENT: _end(source)})
                return
        time.sleep(pause)


def _completeness(source: SourceDatabase, *, publishes: bool) -> Callable[[Ends], bool]:
    """Return a function that is true when all events may have arrived.

    Transaction markers take offsets too, so offsets alone do not prove it.
    """
    backlog = source.backlog
    if publishes:
        return lambda ends: sum(ends.values()) >= backlog.events
    return lambda ends: ends.get(SENT, 0) >= _end(source)


def _end(source: SourceDatabase) -> int:
    """Return the progress of a contender that has read everything and publishes nothing."""
    return source.backlog.events if source.workload.snapshot else source.backlog.end


def _delete_topics(kafka: str, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    names = [
        name
        for name in admin.list_topics(timeout=_ADMIN_SECONDS).topics
        if name.startswith(f"{prefix}.")
    ]
    if names:
        for answer in admin.delete_topics(names, operation_timeout=_ADMIN_SECONDS).values():
            answer.result()
