"""Measures a contender without a backlog: its start-up time, and its memory while idle."""

import time
from dataclasses import dataclass
from typing import Final

import psycopg

from benchmarks.contenders import Contender, Run, not_started
from benchmarks.meters import resident_megabytes
from benchmarks.source import Servers, say, source
from benchmarks.workloads import Workload

_START_SECONDS: Final = 60.0  # a start takes about a second; after a minute it has failed
_STARTS: Final = 3  # enough for a median and two extremes
_POLL_SECONDS: Final = 0.01  # between two reads of the slot: a hundredth of our start-up time


@dataclass(frozen=True, slots=True)
class Idle:
    """Start-up times and memory of one contender.

    Each of `starts` is in seconds, from the start until the slot is in use; `resident` is in MB.
    """

    contender: str
    guarantee: str
    format: str
    starts: tuple[float, ...]
    resident: float


def measure_idle(servers: Servers, contender: Contender, seconds: float) -> Idle:
    """Start a contender several times on a slot without a backlog; let the last one idle."""
    workload = Workload(f"idle_{contender.name}", "", 1)
    starts = []
    with source(servers, workload) as from_, from_.slot(workload.name) as slot:
        for number in range(_STARTS):
            begun = time.monotonic()
            contender.start(Run(slot, from_))
            try:
                _await_active(from_.dsn, slot, contender)
                starts.append(time.monotonic() - begun)
                if number == _STARTS - 1:
                    time.sleep(seconds)
                    resident = resident_megabytes(contender.pid)
            finally:
                contender.stop()
    idle = Idle(contender.name, contender.guarantee, contender.format, tuple(starts), resident)
    times = ", ".join(f"{start:.2f}" for start in starts)
    say(f"idle_{contender.name}: {resident:.0f} MB, streaming after {times} s")
    return idle


def _await_active(dsn: str, slot: str, contender: Contender) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with psycopg.connect(dsn, autocommit=True) as connection:
        while time.monotonic() < deadline and contender.is_alive():
            row = connection.execute(
                "SELECT active FROM pg_replication_slots WHERE slot_name = %s", (slot,)
            ).fetchone()
            if row and row[0]:
                return
            time.sleep(_POLL_SECONDS)
    raise not_started(contender)
