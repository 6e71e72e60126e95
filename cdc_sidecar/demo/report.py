"""The demo's report: the counted and measured figures, then the verdict."""

import time
from collections.abc import Iterator

from cdc_sidecar.demo.screen import latency_text
from cdc_sidecar.demo.setup import Setup
from cdc_sidecar.demo.shop import KEYS, topic_of
from cdc_sidecar.demo.verdict import Verdict

Line = tuple[str, str]
"""A text and its style for the screen."""


def report_lines(
    setup: Setup, verdict: Verdict, outages: list[float], duration: float, began: float
) -> Iterator[Line]:
    """Yield the lines. `duration` is the time of writing, `began` the start of the command."""
    yield "", ""
    for title, text in _facts(setup, outages, duration, began):
        yield f"{title:<20}{text}", ""
    for detail in verdict.details:
        yield detail, "red"
    yield str(verdict), "bold green" if verdict.is_good else "bold red"


def _facts(
    setup: Setup, outages: list[float], duration: float, began: float
) -> Iterator[tuple[str, str]]:
    journal, arrivals = setup.journal, setup.arrivals
    yield "written", f"{journal.rows:,} rows in {journal.transactions:,} transactions"
    yield (
        "rolled back",
        f"{journal.rows_rolled_back:,} rows in {journal.rolled_back:,} transactions",
    )
    yield "older rows", f"{setup.tally.rows_read:,}, read beside the stream"
    for topic, count in sorted(arrivals.counts.items()):
        yield "arrived", f"{count:7,}  {topic}"
    rate = arrivals.count / duration if duration else 0.0
    yield "rate", f"{rate:.0f} events/s over {duration:.0f} s"
    latencies = arrivals.latencies
    names = [f"p{share:.0%}".strip("%") for share in (0.5, 0.99)]
    values = [latency_text(latencies.steady(share)) for share in (0.5, 0.99)]
    parts = [f"{name} {value}" for name, value in zip(names, values, strict=True)]
    yield "commit to consumer", f"{', '.join(parts)}, without what a kill held up"
    if setup.sidecar.kills:
        yield "SIGKILL", _kill_text(setup, outages)
    if arrivals.first_at is not None:
        yield "first event", f"{arrivals.first_at - began:.1f} s after the start of all"
    rows = [f"{table.split('.')[1]} {arrivals.replica.count(topic_of(table)):,}" for table in KEYS]
    yield "rebuilt rows", ", ".join(rows)
    yield "took", f"{time.monotonic() - began:.1f} s in all"


def _kill_text(setup: Setup, outages: list[float]) -> str:
    latencies = setup.arrivals.latencies
    away = ", ".join(f"{seconds:.1f} s" for seconds in outages) or "not again"
    held_up = f"{latencies.delayed:,} events held up, at most {latency_text(latencies.longest)}"
    times = "once" if setup.sidecar.kills == 1 else f"{setup.sidecar.kills} times"
    return f"{times}, streaming again after {away}; {held_up}"
