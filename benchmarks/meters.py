"""Samples of a drain: progress, CPU time and memory, and the figures computed from them."""

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

Partition = tuple[str, int]
"""A topic partition, or SENT for the progress of a walsender."""
Ends = Mapping[Partition, int]
"""The progress of each partition: its last stable offset, or the LSN that was sent."""

SENT: Final[Partition] = ("", 0)
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_TOPICS_SECONDS: Final = (
    0.5  # between two requests for new topics: with 1,000 of them, each is slow
)
_REQUEST_SECONDS: Final = 20.0  # for one answer of the broker, which is busy


@dataclass(frozen=True, slots=True)
class Sample:
    """The time of a sample, the progress, and the CPU seconds of each process so far."""

    at: float  # monotonic
    ends: Ends
    cpu: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Drained:
    """The figures of one drain, from the first to the last change of its progress."""

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
        self.partitions: set[Partition] = set()

    def __call__(self) -> Ends:
        """Ask the broker; return nothing while there is no topic."""
        self._look_for_topics()
        if not self.partitions:
            return {}
        asked = {TopicPartition(*partition): OffsetSpec.latest() for partition in self.partitions}
        answers = self._admin.list_offsets(
            asked,
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=_REQUEST_SECONDS,
        )
        ends = {}
        for key, answer in answers.items():
            with suppress(KafkaException):  # the topic is just being created
                ends[key.topic, key.partition] = int(answer.result().offset)
        return ends

    def _look_for_topics(self) -> None:
        if time.monotonic() - self._looked < _TOPICS_SECONDS:
            return
        listed = self._admin.list_topics(timeout=_REQUEST_SECONDS).topics
        self.partitions = {
            (name, number)
            for name, topic in listed.items()
            if name.startswith(self._prefix)
            for number in topic.partitions
        }
        self._looked = time.monotonic()


class SentLsn:
    """The LSN up to which the walsender of a slot has sent."""

    def __init__(self, connection: psycopg.Connection, slot: str) -> None:
        self._connection = connection
        self._slot = slot
        self._last: Ends = {}

    def __call__(self) -> Ends:
        """Ask the server; after the end of the walsender, return the last answer."""
        row = self._connection.execute(
            "SELECT r.sent_lsn FROM pg_replication_slots s JOIN pg_stat_replication r"
            " ON r.pid = s.active_pid WHERE s.slot_name = %s AND r.sent_lsn IS NOT NULL",
            (self._slot,),
        ).fetchone()
        if row:
            self._last = {SENT: parse_lsn(row[0])}
        return self._last


class CopiedRows:
    """The rows that a COPY of the database has sent."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._last: Ends = {}

    def __call__(self) -> Ends:
        """Ask the server; after the end of the COPY, return the last answer."""
        row = self._connection.execute(
            "SELECT tuples_processed FROM pg_stat_progress_copy WHERE datname = current_database()"
        ).fetchone()
        if row:
            self._last = {SENT: row[0]}
        return self._last


class Meter:
    """Takes samples while a backlog is drained; keeps those with progress."""

    def __init__(self, progress: Callable[[], Ends], processes: Mapping[str, int]) -> None:
        """Ask `progress` how far it is; measure `processes` by name, the contender first."""
        self._progress = progress
        self._processes = processes
        self.samples: list[Sample] = []
        self.moved_at = time.monotonic()
        self.peak = 0.0  # MB

    def sample(self) -> Ends:
        """Take a sample; return the progress."""
        ends = self._progress()
        if ends and (not self.samples or ends != self.samples[-1].ends):
            with suppress(OSError):  # the contender may have ended
                self._keep(ends, time.monotonic())
        return ends

    def finish(self, ends: Ends) -> None:
        """Record that the contender has ended, with the progress `ends`."""
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
    """Compute the figures of a drain; `count` returns the number of events up to an end.

    Start-up does not count: the time runs from the first sample with more than `warm` events to the
    first sample with all events. CPU time is measured in the same span, until the process ends.
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


def count_records(offsets: Mapping[Partition, Sequence[int]]) -> Callable[[Ends], int]:
    """Return a function that counts records below offsets, because markers take offsets too."""
    return lambda ends: sum(
        bisect_left(offsets[partition], end)
        for partition, end in ends.items()
        if partition in offsets
    )


def count_sent(backlog: Backlog) -> Callable[[Ends], int]:
    """Return a function that counts the events committed up to the LSN that was sent."""
    lsns = [lsn for lsn, _ in backlog.marks]
    events = [0, *(events for _, events in backlog.marks)]
    return lambda ends: events[bisect_right(lsns, ends.get(SENT, 0))]


def count_copied(ends: Ends) -> int:
    """Return the number of rows that a COPY has sent."""
    return ends.get(SENT, 0)


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of all threads of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_megabytes(pid: int) -> float:
    """Return the memory that a process holds now."""
    return _status(pid, "VmRSS")


def peak_megabytes(pid: int) -> float:
    """Return the most memory that a process has held since `forget_peak`."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Reset the peak to the present memory (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def _status(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    for line in lines:
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(f"process {pid} has ended")
