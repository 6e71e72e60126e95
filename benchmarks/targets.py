"""What the sidecar promises of itself, and what this run says to it; the rest is left out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.report import OURS, Results, Row, markdown

_AT_LEAST: Final = (
    ("small/pg_recvlogical", 1.3),
    ("small/debezium", 5.0),
    ("one_row/pg_recvlogical", 1.8),
    ("wide/pg_recvlogical", 1.0),
    ("wide/debezium", 5.0),
    ("updates_full/pg_recvlogical", 1.0),
    ("updates_full/debezium", 5.0),
    ("tables_1000/tables_1", 0.9),
)
_AT_MOST: Final = (("steady_1000_p50/bare_loop", 1.5), ("steady_1000_p99/bare_loop", 1.5))
_CPU: Final = (("small", 3.5), ("wide", 10.0))  # microseconds an event
_LATENCY: Final = (("p50", 8.0), ("p99", 20.0))  # milliseconds at _RATE
_RATE: Final = 1000  # commits a second
_IDLE: Final = 80.0  # MB
_PEAK: Final = 150.0  # MB
_START: Final = 2.0  # seconds
_PLAIN: Final = 2.0  # without compiled code, over Debezium
_CPU_SHARE: Final = 0.1  # of Debezium's


@dataclass(frozen=True, slots=True)
class Outcome:
    """One promise and what became of it."""

    what: str
    limit: float
    measured: float
    least: bool  # whether the limit is the least, else the most

    @property
    def is_met(self) -> bool:
        """Whether it was kept."""
        return self.measured >= self.limit if self.least else self.measured <= self.limit


def outcomes(results: Results) -> Iterator[Outcome]:
    """Yield what became of each promise that this run can tell of."""
    ratios = results.ratios()
    rows = {(row.workload, row.contender): row for row in results.rows}
    for name, limit in _AT_LEAST:
        if name in ratios:
            yield Outcome(f"{name}, events/s", limit, ratios[name], least=True)
    yield from _plain(rows)
    for name, limit in _AT_MOST:
        if name in ratios:
            yield Outcome(name, limit, ratios[name], least=False)
    yield from _latencies(results)
    yield from _cpu(rows)
    yield from _memory(results)


def _plain(rows: dict[tuple[str, str], Row]) -> Iterator[Outcome]:
    ours, theirs = rows.get(("small", "sidecar_python")), rows.get(("small", "debezium"))
    if ours and theirs and theirs.rate:
        yield Outcome("small, plain Python/debezium", _PLAIN, ours.rate / theirs.rate, least=True)


def _latencies(results: Results) -> Iterator[Outcome]:
    for one in results.latencies:
        if (one.contender, one.rate) == (OURS, _RATE):
            for share, limit in _LATENCY:
                what = f"{share} at {_RATE:,} commits/s, ms"
                yield Outcome(what, limit, one.percentiles.get(share, 0.0), least=False)


def _cpu(rows: dict[tuple[str, str], Row]) -> Iterator[Outcome]:
    for workload, limit in _CPU:
        ours, theirs = rows.get((workload, OURS)), rows.get((workload, "debezium"))
        if ours and OURS in ours.cpu:
            yield Outcome(f"{workload}, CPU µs/event", limit, ours.cpu[OURS], least=False)
            if theirs and theirs.cpu.get("debezium"):
                share = ours.cpu[OURS] / theirs.cpu["debezium"]
                yield Outcome(f"{workload}, CPU/debezium", _CPU_SHARE, share, least=False)


def _memory(results: Results) -> Iterator[Outcome]:
    peaks = [row.peak for row in results.rows if row.contender == OURS]
    if peaks:
        yield Outcome("peak RSS of all drains, MB", _PEAK, max(peaks), least=False)
    for idle in results.idles:
        if idle.contender == OURS:
            yield Outcome("idle RSS, MB", _IDLE, idle.resident, least=False)
            yield Outcome("start to streaming, s", _START, max(idle.starts), least=False)


def target_table(results: Results) -> str:
    """Return the table of all outcomes, as Markdown; nothing where there is none."""
    body = [
        (
            one.what,
            f"{'≥' if one.least else '≤'} {one.limit:g}",
            f"{one.measured:.2f}",
            "yes" if one.is_met else "**no**",
        )
        for one in outcomes(results)
    ]
    return markdown(("target", "limit", "measured", "met"), body) if body else ""
