"""The tables of a run in Markdown: drains, latencies, idle contenders, and the machine."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.busy import Busy
from benchmarks.idle import Idle
from benchmarks.latency import SHARES, Latency
from benchmarks.report import OURS, Results, machine, versions


def tables(results: Results) -> str:
    """Return all tables of a run in Markdown."""
    parts = [
        _drain_table(results),
        _latency_table(results.latencies) if results.latencies else "",
        _idle_table(results.idles) if results.idles else "",
        _busy_table(results.busy) if results.busy else "",
        *(f"{name} is left out: {why}\n" for name, why in results.left_out.items()),
        _facts(results),
    ]
    return "\n".join(part for part in parts if part)


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


def _busy_table(busy: Sequence[Busy]) -> str:
    head = (
        "snapshot under 500 commits/s", "rows", "rows/s", "p50 ms", "p99 ms", "changes meanwhile",
        "xmin age s", "peak MB",
    )  # fmt: skip
    body = [
        (
            one.contender, f"{one.rows:,}", f"{one.rate:,.0f}",
            *(_milliseconds(one.latency.get(name)) for name in ("p50", "p99")),
            f"{one.changes:,}", f"{one.xmin_age:.2f}", f"{one.peak:,.0f}",
        )
        for one in busy
    ]  # fmt: skip
    return markdown(head, body)


def _facts(results: Results) -> str:
    about = {row.workload: row.about for row in results.rows}
    lines = [f"* {name}: {text}" for name, text in about.items()]
    lines += [f"* {name}: {value}" for name, value in {**machine(), **versions()}.items()]
    return "\n".join([*lines, f"* date: {results.date}, {results.command}", ""])


def markdown(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    rows = [head, *body]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"
