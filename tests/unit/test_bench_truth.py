"""The benchmark finds events that are lost, repeated, out of order or different."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from confluent_kafka import Message

from benchmarks.meters import peak_megabytes, resident_megabytes
from benchmarks.truth import OutboxTally, RowTally, Tables, Tally
from benchmarks.workloads import Outbox

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Row = tuple[int, int, datetime]


@dataclass
class Record:
    """A message of Kafka, reduced to the methods that a tally calls."""

    place: str
    number: int
    payload: Any
    identity: bytes | None = None

    def topic(self) -> str:
        """Return the topic."""
        return self.place

    def partition(self) -> int:
        """Return the partition."""
        return 0

    def offset(self) -> int:
        """Return the offset."""
        return self.number

    def key(self) -> bytes:
        """Return the key."""
        return b"42"

    def value(self) -> bytes:
        """Return the bytes that stand for the payload."""
        return b"value"

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the headers."""
        return [("id", self.identity or b"")]


def _tables(rows: Sequence[Row]) -> Tables:
    return Tables({"items": ("id", "n", "at")}, {"items": {row[0]: hash(row) for row in rows}})


def _take(tally: RowTally, rows: Sequence[Row]) -> Tally:
    for number, (key, n, at) in enumerate(rows):
        spelled = {"id": key, "n": n, "at": at.isoformat().replace("+00:00", "Z")}
        record = Record("run.public.items", number, {"before": None, "after": spelled})
        tally.add(cast("Message", record), {b"value": record.payload}.__getitem__)
    return tally


def _judge(tally: Tally) -> tuple[int, int, int]:
    """Return the number of events, of those out of order, and of different keys."""
    return sum(map(len, tally.offsets.values())), tally.out_of_order, tally.differences()


@pytest.mark.parametrize(
    ("came", "verdict"),
    [
        ([(1, 1, AT), (2, 1, AT)], (2, 0, 0)),
        ([(2, 1, AT), (1, 1, AT)], (2, 0, 0)),
        ([(1, 1, AT)], (1, 0, 1)),
        ([(1, 1, AT), (2, 1, AT), (2, 1, AT)], (3, 1, 0)),
        ([(1, 1, AT), (2, 7, AT)], (2, 0, 1)),
        ([(1, 1, AT), (2, 1, AT), (3, 1, AT)], (3, 0, 1)),
    ],
    ids=["exact", "another order of keys", "lost", "repeated", "different", "too many"],
)
def test_rows_that_come_once_are_judged(came: Sequence[Row], verdict: tuple[int, int, int]) -> None:
    tally = RowTally(_tables([(1, 1, AT), (2, 1, AT)]), None)
    assert _judge(_take(tally, came)) == verdict


@pytest.mark.parametrize(
    ("versions", "verdict"),
    [
        ((1, 2, 3), (3, 0, 0)),
        ((1, 3, 2), (3, 1, 1)),
        ((1, 2, 2, 3), (4, 1, 0)),
        ((1, 2), (2, 0, 1)),
    ],
    ids=["exact", "out of order", "repeated", "the last is lost"],
)
def test_versions_of_a_row_are_judged(
    versions: tuple[int, ...], verdict: tuple[int, int, int]
) -> None:
    tally = RowTally(_tables([(1, 3, AT)]), "n")
    assert _judge(_take(tally, [(1, version, AT) for version in versions])) == verdict


@pytest.mark.parametrize(
    ("came", "verdict"),
    [
        (["a"], (1, 0, 0)),
        ([], (0, 0, 1)),
        (["a", "a"], (2, 1, 0)),
        (["b"], (1, 0, 1)),
    ],
    ids=["exact", "lost", "repeated", "different"],
)
def test_outbox_events_are_judged(came: Sequence[str], verdict: tuple[int, int, int]) -> None:
    digests = {"outbox": {"7": hash(("7", "order", "42", "a"))}}
    tally = OutboxTally(Tables({"outbox": ("id",)}, digests), Outbox("outbox", "", 1))
    for number, payload in enumerate(came):
        record = Record("run.event.order", number, payload, b"7")
        known = {b"42": b"42", b"value": payload.encode()}
        tally.add(cast("Message", record), known.__getitem__)
    assert _judge(tally) == verdict


def test_memory_is_that_of_the_process_and_of_none_that_has_ended() -> None:
    resident = resident_megabytes(os.getpid())  # first: the process may grow in between
    assert peak_megabytes(os.getpid()) >= resident > 1
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProcessLookupError):
        resident_megabytes(process.pid)
    assert process.wait() == 0
