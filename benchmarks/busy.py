"""Measures the stream while a snapshot runs: how late changes are, and what the server bears."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import psycopg

from benchmarks.contenders import Contender, Run, failed
from benchmarks.latency import (
    Arrivals,
    Steady,
    await_topic,
    count_steady,
    decoder,
    percentiles,
    write_steadily,
)
from benchmarks.meters import StableEnds, forget_peak, peak_megabytes
from benchmarks.source import Servers, SourceDatabase, say, source
from benchmarks.workloads import Workload

RATE: Final = 500  # commits a second
_ROWS: Final = 3_000_000  # enough for a snapshot that outlasts the warm-up of the writers
_SECONDS: Final = 15.0  # of steady traffic
_SNAPSHOT: Final = Workload("small", "", _ROWS)
_WARM_SECONDS: Final = 2.0  # of traffic that is not counted: connections and topics are new
_STUCK_SECONDS: Final = 600.0  # for the whole snapshot
_SAMPLE_SECONDS: Final = 0.2
_XMIN_AGE: Final = (
    "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)"
    " FROM pg_stat_activity WHERE application_name = 'cdc-sidecar' AND backend_xmin IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class Busy:
    """A snapshot under steady traffic. Latencies are in milliseconds, ages in seconds."""

    contender: str
    rows: int
    seconds: float  # until the snapshot was published
    changes: int  # that were written meanwhile
    latency: dict[str, float]
    xmin_age: float  # of the oldest snapshot that the contender held
    peak: float  # MB

    @property
    def rate(self) -> float:
        """Rows of the snapshot per second."""
        return self.rows / self.seconds if self.seconds else 0.0


class _Busy(Steady):
    """Steady traffic beside a table that has rows already."""

    def prepare(self) -> Iterator[str]:
        """Yield the statements that run before the slot is created."""
        yield from Steady.prepare(self)
        yield from Workload.prepare(self)
        for statement, _ in replace(_SNAPSHOT, rows=_ROWS).write():
            yield statement


class _Sampler(threading.Thread):
    """Watches the snapshot: when it is published, and the oldest snapshot that is held."""

    def __init__(self, dsn: str, published: StableEnds) -> None:
        super().__init__(daemon=True)
        self._dsn = dsn
        self._published = published
        self.begun = time.time()
        self.ended = 0.0
        self.xmin_age = 0.0

    def run(self) -> None:
        """Sample until the snapshot is published."""
        deadline = time.monotonic() + _STUCK_SECONDS
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self.ended and time.monotonic() < deadline:
                row = connection.execute(_XMIN_AGE).fetchone()
                self.xmin_age = max(self.xmin_age, float(row[0]) if row else 0.0)
                if sum(self._published().values()) >= _ROWS:
                    self.ended = time.time()
                time.sleep(_SAMPLE_SECONDS)


def measure_busy(servers: Servers, contender: Contender) -> Busy:
    """Let a contender send a table while others write; measure how late their rows come."""
    workload = _Busy(f"busy_{contender.name}", "", 1, snapshot=True, tables=("steady", "small"))
    kafka = servers.kafka.bootstrap_servers
    with source(servers, workload) as from_, from_.slot(workload.name) as slot:
        contender.start(Run(slot, from_))
        try:
            forget_peak(contender.pid)
            await_topic(servers, f"{slot}.public.steady", contender)
            sampler = _Sampler(from_.dsn, StableEnds(kafka, f"{slot}.public.small"))
            sampler.start()
            busy = _measure(from_, contender, sampler, f"{slot}.public.steady")
        finally:
            contender.stop()
    say(f"{workload.name}: {busy.rate:,.0f} rows/s, {busy.latency}")
    return busy


def _measure(from_: SourceDatabase, contender: Contender, sampler: _Sampler, topic: str) -> Busy:
    arrivals = Arrivals(from_.servers, topic)
    arrivals.start()
    write_steadily(from_, RATE, _SECONDS)
    sampler.join()
    arrivals.finish(count_steady(from_))
    if not sampler.ended:
        raise failed(contender, "did not publish the snapshot")
    written_at = decoder(contender.registry)
    first: dict[float, float] = {}  # the rows come again in the snapshot of their own table
    for at, _, value in arrivals.came:
        first.setdefault(written_at(value), at)
    begun = sampler.begun + _WARM_SECONDS
    late = [(at - then) * 1000 for then, at in first.items() if begun < then < sampler.ended]
    seconds, peak = sampler.ended - sampler.begun, peak_megabytes(contender.pid)
    return Busy(
        contender.name, _ROWS, seconds, len(late), percentiles(late), sampler.xmin_age, peak
    )
