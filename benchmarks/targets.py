"""The sidecar's own targets, and whether a run meets those that it measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.report import OURS, Results, Row
from benchmarks.tables import markdown

# Two halves of equal runs differ by less than a tenth on a quiet machine. Where they differ by more
# than this, the distance between the sidecar and another contender is no evidence either.
NOISE_LIMIT: Final = 0.15

# The limits are the project's targets; docs/explanation/performance.md says how to measure them.
_AT_LEAST: Final = (
    ("small/pg_recvlogical", 1.3),
    ("small/debezium", 5.0),
    ("one_row/pg_recvlogical", 1.8),
    ("wide/pg_recvlogical", 1.0),
    ("wide/debezium", 5.0),
    ("updates_full/pg_recvlogical", 1.0),
    ("updates_full/debezium", 5.0),
    ("tables_1000/tables_1", 0.9),
    ("snapshot_small/debezium", 5.0),
    ("snapshot_wide/debezium", 5.0),
    ("snapshot_small/psql_copy", 0.15),
    ("snapshot_small/small", 1.0),
    ("outbox_avro/debezium", 4.0),
)
_AT_MOST: Final = (("steady_1000_p50/bare_loop", 1.5), ("steady_1000_p99/bare_loop", 1.5))
_CPU: Final = (("small", 3.5), ("wide", 10.0))  # microseconds an event
_LATENCY: Final = (("p50", 8.0), ("p99", 20.0))  # milliseconds at _RATE
_RATE: Final = 1000  # commits a second
_IDLE: Final = 80.0  # MB
_PEAK: Final = 150.0  # MB
_START: Final = 2.0  # seconds
_CPU_OVER_SMALL: Final = (
    ("snapshot_small", 0.9),
    ("outbox_long", 1.25),
    ("outbox_passing", 1.25),
    ("outbox_message", 1.25),
)
"""The CPU of an event, over that of a small row in the stream, whose transactions have 10,000 rows.
`outbox_avro` would count a BEGIN and a COMMIT for every ten events, too."""
_MANY_TABLES: Final = 30.0  # seconds for the snapshot of 1,000 tables of 100 rows
_BUSY_P99: Final = 1000.0  # milliseconds, of changes while a snapshot runs
_XMIN_AGE: Final = 60.0  # seconds
_PLAIN: Final = 2.0  # without compiled code, over Debezium
_CPU_SHARE: Final = 0.1  # of Debezium's


@dataclass(frozen=True, slots=True)
class Outcome:
    """A target and the measured value.

    `noise` is the difference that equal runs showed in the A/A control; a value that no control
    covers has none.
    """

    target: str
    limit: float
    measured: float
    least: bool  # whether the limit is the least, else the most
    noise: float = 0.0

    @property
    def is_met(self) -> bool:
        """Whether the measured value is within the limit."""
        return self.measured >= self.limit if self.least else self.measured <= self.limit

    @property
    def verdict(self) -> str:
        """The word for the table. A target that is met is met, even if the run was noisy."""
        if self.is_met:
            return "yes"
        return "too noisy to judge" if self.noise > NOISE_LIMIT else "**no**"


def outcomes(results: Results) -> Iterator[Outcome]:
    """Yield the outcome of each target that this run measured."""
    ratios = results.ratios()
    rows = {(row.workload, row.contender): row for row in results.rows}
    for name, limit in _AT_LEAST:
        if name in ratios:
            noise = _noise(ratios, *name.split("/"))
            yield Outcome(f"{name}, events/s", limit, ratios[name], least=True, noise=noise)
    yield from _plain(rows, ratios)
    for name, limit in _AT_MOST:
        if name in ratios:
            yield Outcome(name, limit, ratios[name], least=False)
    yield from _latencies(results)
    yield from _cpu(rows, ratios)
    yield from _memory(results)
    yield from _snapshots(results, rows)


def _noise(ratios: Mapping[str, float], *workloads: str) -> float:
    """Return the largest difference in the A/A controls of `workloads`, or 0 without a control."""
    controls = [ratios[f"{name}/itself"] for name in workloads if ratios.get(f"{name}/itself")]
    return max((max(control, 1 / control) - 1 for control in controls), default=0.0)


def _plain(rows: Mapping[tuple[str, str], Row], ratios: Mapping[str, float]) -> Iterator[Outcome]:
    ours, theirs = rows.get(("small", "sidecar_python")), rows.get(("small", "debezium"))
    if ours and theirs and theirs.rate:
        target, noise = "small, plain Python/debezium", _noise(ratios, "small")
        yield Outcome(target, _PLAIN, ours.rate / theirs.rate, least=True, noise=noise)


def _latencies(results: Results) -> Iterator[Outcome]:
    for one in results.latencies:
        if (one.contender, one.rate) == (OURS, _RATE):
            for share, limit in _LATENCY:
                target = f"{share} at {_RATE:,} commits/s, ms"
                yield Outcome(target, limit, one.percentiles.get(share, 0.0), least=False)


def _cpu(rows: Mapping[tuple[str, str], Row], ratios: Mapping[str, float]) -> Iterator[Outcome]:
    for workload, limit in _CPU:
        ours, theirs = rows.get((workload, OURS)), rows.get((workload, "debezium"))
        if ours and OURS in ours.cpu:
            cpu, noise = ours.cpu[OURS], _noise(ratios, workload)
            yield Outcome(f"{workload}, CPU µs/event", limit, cpu, least=False, noise=noise)
            if theirs and theirs.cpu.get("debezium"):
                target, share = f"{workload}, CPU/debezium", cpu / theirs.cpu["debezium"]
                yield Outcome(target, _CPU_SHARE, share, least=False, noise=noise)


def _memory(results: Results) -> Iterator[Outcome]:
    peaks = [row.peak for row in results.rows if row.contender == OURS]
    if peaks:
        yield Outcome("peak RSS of all drains, MB", _PEAK, max(peaks), least=False)
    for idle in results.idles:
        if idle.contender == OURS:
            yield Outcome("idle RSS, MB", _IDLE, idle.resident, least=False)
            yield Outcome("start to streaming, s", _START, max(idle.starts), least=False)


def _snapshots(results: Results, rows: Mapping[tuple[str, str], Row]) -> Iterator[Outcome]:
    streamed = rows.get(("small", OURS))
    for name, limit in _CPU_OVER_SMALL:
        row = rows.get((name, OURS))
        if streamed and row and streamed.cpu.get(OURS) and OURS in row.cpu:
            share = row.cpu[OURS] / streamed.cpu[OURS]
            yield Outcome(f"{name} CPU/small CPU", limit, share, least=False)
    many = rows.get(("snapshot_1000", OURS))
    if many and many.rate:
        seconds = many.events / many.rate
        yield Outcome("snapshot of 1,000 tables, s", _MANY_TABLES, seconds, least=False)
    for busy in results.busy:
        p99 = busy.latency.get("p99", 0.0)
        yield Outcome("p99 beside a snapshot, ms", _BUSY_P99, p99, least=False)
        yield Outcome("xmin age in a snapshot, s", _XMIN_AGE, busy.xmin_age, least=False)
        yield Outcome("peak RSS beside a snapshot, MB", _PEAK, busy.peak, least=False)


def target_table(results: Results) -> str:
    """Return the table of all outcomes in Markdown, or nothing if there are none."""
    body = [
        (
            one.target,
            f"{'≥' if one.least else '≤'} {one.limit:g}",
            f"{one.measured:.2f}",
            one.verdict,
        )
        for one in outcomes(results)
    ]
    return markdown(("target", "limit", "measured", "met"), body) if body else ""
