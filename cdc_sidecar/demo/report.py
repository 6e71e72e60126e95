"""The demo's last words: what was counted and measured, and below it the verdict."""

import time
from collections.abc import Iterator

from cdc_sidecar.demo.screen import latency_text
from cdc_sidecar.demo.shop import KEYS, topic_of
from cdc_sidecar.demo.stage import Stage
from cdc_sidecar.demo.verdict import Verdict

Line = tuple[str, str]
"""A text and its style."""


def report_lines(
    stage: Stage, verdict: Verdict, outages: list[float], duration: float, began: float
) -> Iterator[Line]:
    """Yield the lines; `duration` is that of writing, `began` when the command started."""
    yield "", ""
    for title, text in _facts(stage, outages, duration, began):
        yield f"{title:<20}{text}", ""
    for detail in verdict.details:
        yield detail, "red"
    yield str(verdict), "bold green" if verdict.is_good else "bold red"


def _facts(
    stage: Stage, outages: list[float], duration: float, began: float
) -> Iterator[tuple[str, str]]:
    journal, arrivals = stage.journal, stage.arrivals
    yield "written", f"{journal.rows:,} rows in {journal.transactions:,} transactions"
    yield (
        "rolled back",
        f"{journal.rows_rolled_back:,} rows in {journal.rolled_back:,} transactions",
    )
    for topic, count in sorted(arrivals.counts.items()):
        yield "arrived", f"{count:7,}  {topic}"
    rate = arrivals.count / duration if duration else 0.0
    yield "rate", f"{rate:.0f} events/s over {duration:.0f} s"
    latencies = arrivals.latencies
    halves = [f"p{share:.0%}".strip("%") for share in (0.5, 0.99)]
    values = [latency_text(latencies.steady(share)) for share in (0.5, 0.99)]
    parts = [f"{name} {value}" for name, value in zip(halves, values, strict=True)]
    yield "commit to consumer", f"{', '.join(parts)}, without what a kill held up"
    if stage.sidecar.kills:
        yield "SIGKILL", _kill_text(stage, outages)
    if arrivals.first_at is not None:
        yield "first event", f"{arrivals.first_at - began:.1f} s after the start of all"
    rows = [f"{table.split('.')[1]} {arrivals.replica.count(topic_of(table)):,}" for table in KEYS]
    yield "rebuilt rows", ", ".join(rows)
    yield "took", f"{time.monotonic() - began:.1f} s in all"


def _kill_text(stage: Stage, outages: list[float]) -> str:
    latencies = stage.arrivals.latencies
    away = ", ".join(f"{seconds:.1f} s" for seconds in outages) or "not again"
    held_up = f"{latencies.delayed:,} events held up, at most {latency_text(latencies.longest)}"
    times = "once" if stage.sidecar.kills == 1 else f"{stage.sidecar.kills} times"
    return f"{times}, streaming again after {away}; {held_up}"
