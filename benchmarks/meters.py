"""What is read while a backlog is drained: progress, CPU time, memory; and what follows from it."""

import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from benchmarks.source import Backlog
from cdc_sidecar.postgres.lsn import parse_lsn

Place = tuple[str, int]
"""Topic and partition; SENT stands for the server's own count."""
Ends = Mapping[Place, int]
"""How far each place is: the last stable offset, or the LSN that was sent."""

SENT: Final[Place] = ("", 0)
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_LOOK_SECONDS: Final = 0.5  # between looks for new topics
_REQUEST_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: when, how far, and the CPU seconds of each process so far."""

    at: float  # monotonic
    ends: Ends
    cpu: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Drained:
    """What one drain came to, between the first and the last change of its progress."""

    events: int
    seconds: float
    cpu: Mapping[str, float]  # microseconds per event, by process
    peak: float  # MB

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds if self.seconds > 0 else 0.0


class StableEnds:
    """The last stable offsets of all topics under a prefix."""

    def __init__(self, bootstrap_servers: str, prefix: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
        self._prefix = prefix
        self._looked = 0.0
        self.places: set[Place] = set()

    def __call__(self) -> Ends:
        """Ask the broker; empty while there is no topic."""
        self._look_for_topics()
        if not self.places:
            return {}
        asked = {TopicPartition(*place): OffsetSpec.latest() for place in self.places}
        answers = self._admin.list_offsets(
            asked,
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=_REQUEST_SECONDS,
        )
        ends = {}
        for key, answer in answers.items():
            with suppress(KafkaException):  # a topic that is just being made
                ends[key.topic, key.partition] = int(answer.result().offset)
        return ends

    def _look_for_topics(self) -> None:
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        listed = self._admin.list_topics(timeout=_REQUEST_SECONDS).topics
        self.places = {
            (name, number)
            for name, topic in listed.items()
            if name.startswith(self._prefix)
            for number in topic.partitions
        }
        self._looked = time.monotonic()


class SentLsn:
    """How far the walsender of a slot has read and sent."""

    def __init__(self, connection: psycopg.Connection, slot: str) -> None:
        self._connection = connection
        self._slot = slot
        self._last: Ends = {}

    def __call__(self) -> Ends:
        """Ask the server; once the walsender is gone, what it said last."""
        row = self._connection.execute(
            "SELECT r.sent_lsn FROM pg_replication_slots s JOIN pg_stat_replication r"
            " ON r.pid = s.active_pid WHERE s.slot_name = %s AND r.sent_lsn IS NOT NULL",
            (self._slot,),
        ).fetchone()
        if row:
            self._last = {SENT: parse_lsn(row[0])}
        return self._last


class Meter:
    """Samples while a backlog is drained; keeps those in which something had moved."""

    def __init__(self, look: Callable[[], Ends], processes: Mapping[str, int]) -> None:
        """Take how to look, and whose CPU time counts, by name; the first is the contender."""
        self._look = look
        self._processes = processes
        self.samples: list[Sample] = []
        self.moved_at = time.monotonic()
        self.peak = 0.0  # MB

    def sample(self) -> Ends:
        """Look once."""
        ends = self._look()
        if ends and (not self.samples or ends != self.samples[-1].ends):
            with suppress(OSError):  # the contender may have come to its end
                self._keep(ends, time.monotonic())
        return ends

    def finish(self, ends: Ends) -> None:
        """Take note that the contender has ended by itself, having come so far."""
        last = self.samples[-1]
        if ends != last.ends:
            self.samples.append(Sample(time.monotonic(), ends, {}))

    def _keep(self, ends: Ends, now: float) -> None:
        contender = next(iter(self._processes.values()))
        self.peak = peak_megabytes(contender)
        cpu = {name: cpu_seconds(pid) for name, pid in self._processes.items()}
        self.samples.append(Sample(now, ends, cpu))
        self.moved_at = now


def drained(
    samples: list[Sample], count: Callable[[Ends], int], peak: float, warm: int = 0
) -> Drained:
    """Reckon from samples; `count` tells the events at or before an end.

    Start-up is left out: time runs from the first sample with more than `warm` events to the one
    in which the last had come; CPU likewise, as long as the process lived.
    """
    counted = [(sample, count(sample.ends)) for sample in samples]
    last = max((events for _, events in counted), default=0)
    moving = [(sample, events) for sample, events in counted if events > warm]
    if not moving:
        return Drained(0, 0.0, {}, peak)
    first, before = moving[0]
    end = next(sample for sample, events in moving if events == last)
    seen, cpu = [(s, e) for s, e in moving if s.cpu and s.at <= end.at], {}
    if seen and seen[-1][1] > before:
        until, events = seen[-1]
        cpu = {
            name: (until.cpu[name] - first.cpu[name]) / (events - before) * 1e6
            for name in first.cpu
        }
    return Drained(last - before, end.at - first.at, cpu, peak)


def count_records(offsets: Mapping[Place, Sequence[int]]) -> Callable[[Ends], int]:
    """Count records below last stable offsets: transaction markers take offsets, too."""
    return lambda ends: sum(
        bisect_left(offsets[place], end) for place, end in ends.items() if place in offsets
    )


def count_sent(backlog: Backlog) -> Callable[[Ends], int]:
    """Count the events that were committed at or before the LSN that was sent."""
    lsns = [lsn for lsn, _ in backlog.marks]
    events = [0, *(events for _, events in backlog.marks)]
    return lambda ends: events[bisect_right(lsns, ends.get(SENT, 0))]


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process so far, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_megabytes(pid: int) -> float:
    """Return what a process holds in memory now."""
    return _status(pid, "VmRSS")


def peak_megabytes(pid: int) -> float:
    """Return the most that a process has held since `forget_peak`."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Let the peak begin anew (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def _status(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    for line in lines:
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(f"process {pid} has ended")
