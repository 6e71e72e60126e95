"""Four tiles with a curve of the last fifteen minutes each: lag, latency, events and bytes."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from cdc_sidecar.http.page.markup import Html, element, join
from cdc_sidecar.wording import fine_span, rate, size

Samples = Sequence[float | None]
_KEPT: Final = 180
"""The width of a curve: one unit for each sample that may be kept."""
_HEIGHT: Final = 40.0
_TOP: Final = 2.0
"""Room above the highest point, so that its line is not cut."""


def curves(body: Mapping[str, Any]) -> Html:
    """Return the four tiles."""
    history = body["history"]
    tiles = (_lag(body, history), _latency(body, history), *_rates(body, history))
    return element("section", *tiles, id="curves", class_="tiles", aria_label="Last 15 minutes")


def _lag(body: Mapping[str, Any], history: Mapping[str, Any]) -> Html:
    lag, behind = body["lag_seconds"], body["slot"]["confirmed_lag_bytes"]
    value = "not known" if lag is None else fine_span(lag)
    below = None if behind is None else f"{size(max(0, behind))} of WAL not confirmed"
    return _tile("Lag", value, below, [history["lag_seconds"]], fine_span)


def _latency(body: Mapping[str, Any], history: Mapping[str, Any]) -> Html:
    p50, p99 = body["latency"]["p50_seconds"], body["latency"]["p99_seconds"]
    value = "no events" if p50 is None else fine_span(p50)
    below = "p50, from commit to commit" if p99 is None else f"p50, and {fine_span(p99)} p99"
    return _tile(
        "Latency", value, below, [history["p99_seconds"], history["p50_seconds"]], fine_span
    )


def _rates(body: Mapping[str, Any], history: Mapping[str, Any]) -> tuple[Html, Html]:
    rates = body["rates"]
    transactions = rate(rates["transactions_per_second"], "transactions")
    events = _tile(
        "Events",
        rate(rates["events_per_second"], "events").replace(" events/s", "/s"),
        transactions,
        [history["events_per_second"]],
        lambda value: f"{rate(value, '').replace(' /s', '/s')}",
    )
    data = _tile(
        "Data",
        f"{size(rates['bytes_per_second'])}/s",
        "in the last minute",
        [history["bytes_per_second"]],
        lambda value: f"{size(value)}/s",
    )
    return events, data


def _tile(
    title: str,
    value: str,
    below: str | None,
    series: Sequence[Samples],
    say: Callable[[float], str],
) -> Html:
    known = [sample for samples in series for sample in samples if sample is not None]
    highest = max(known, default=0.0)
    label = f"{title} in the last 15 minutes: at most {say(highest)}"
    return element(
        "div",
        element("h3", title),
        element("p", value, class_="value"),
        element("p", below or "", class_="below"),
        _curve(series, highest, label),
        _scale(f"highest {say(highest)}" if known else "no samples yet"),
        class_="tile",
    )


def _scale(highest: str) -> Html:
    past, most = element("span", "last 15 min"), element("span", highest)
    return element("p", past, most, class_="scale small")


def _curve(series: Sequence[Samples], highest: float, label: str) -> Html:
    """Return a drawing: the first series is filled, and the others are lines."""
    scale = (_HEIGHT - _TOP) / highest if highest > 0 else 0.0
    lines = [
        element("path", class_=f"line line{place}", d=_line(samples, scale))
        for place, samples in enumerate(series)
    ]
    area = element("path", class_="area", d=_area(series[0], scale))
    base = element("path", class_="base", d=f"M0 {_HEIGHT:g}H{_KEPT - 1}")
    return element(
        "svg",
        base,
        area,
        join(*lines),
        viewBox=f"0 0 {_KEPT - 1} {_HEIGHT:g}",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
        class_="curve",
    )


def _runs(samples: Samples) -> Iterator[list[tuple[int, float]]]:
    """Yield the stretches of known samples with their place, the newest at the right edge."""
    first, run = _KEPT - len(samples), list[tuple[int, float]]()
    for place, value in enumerate(samples, first):
        if value is not None and math.isfinite(value):
            run.append((place, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _line(samples: Samples, scale: float) -> str:
    return "".join(f"M{_points(run, scale)}" for run in _runs(samples))


def _area(samples: Samples, scale: float) -> str:
    return "".join(
        f"M{run[0][0]} {_HEIGHT:g}L{_points(run, scale)}L{run[-1][0]} {_HEIGHT:g}Z"
        for run in _runs(samples)
    )


def _points(run: Sequence[tuple[int, float]], scale: float) -> str:
    points = [f"{place} {_HEIGHT - value * scale:.1f}" for place, value in run]
    if len(points) == 1:  # a line needs a length
        points.insert(0, f"{run[0][0] - 1} {_HEIGHT - run[0][1] * scale:.1f}")
    return "L".join(points)
