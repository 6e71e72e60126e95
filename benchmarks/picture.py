"""Draws the picture of a run: a group of bars for each workload, a bar for each contender."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from benchmarks.report import OURS, Row

_COLOURS: Final = {
    OURS: "#1f6feb",
    "sidecar_python": "#79b8ff",
    "pg_recvlogical": "#8b949e",
    "debezium": "#d1762e",
}
_OTHER: Final = "#57606a"
# In pixels; the width is that of a page on GitHub.
_WIDTH: Final = 860
_LABELS: Final = 130  # the bars begin right of the names of workloads
_BARS: Final = 560  # the longest bar, which leaves room for its figure
_BAR: Final = 15  # a line of text
_GAP: Final = 14  # between two groups
_TOP: Final = 46  # title and legend
_LEGEND: Final = 140  # one entry of the legend
_FONT: Final = 'font-family="sans-serif" font-size="11"'


def draw(rows: Sequence[Row]) -> str:
    """Return an SVG. Each group has its own scale; the fastest contender has the longest bar."""
    groups = {name: [row for row in rows if row.workload == name] for name in _names(rows)}
    height = _TOP + sum(len(group) * _BAR + _GAP for group in groups.values())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {_FONT}>',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        *_legend(rows),
    ]
    top = _TOP
    for name, group in groups.items():
        lines += _group(name, group, top)
        top += len(group) * _BAR + _GAP
    return "\n".join([*lines, "</svg>", ""])


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.workload for row in rows))


def _legend(rows: Sequence[Row]) -> Iterator[str]:
    yield f'<text x="{_LABELS}" y="16" font-weight="bold">Events per second, median</text>'
    for number, name in enumerate(dict.fromkeys(row.contender for row in rows)):
        left = _LABELS + number * _LEGEND
        yield f'<rect x="{left}" y="24" width="10" height="10" fill="{_colour(name)}"/>'
        yield f'<text x="{left + 14}" y="33">{escape(name)}</text>'


def _group(name: str, rows: Sequence[Row], top: int) -> Iterator[str]:
    middle = top + len(rows) * _BAR / 2 + 4
    yield f'<text x="{_LABELS - 8}" y="{middle:g}" text-anchor="end">{escape(name)}</text>'
    fastest = max((row.rate for row in rows), default=0.0)
    for number, row in enumerate(rows):
        width = row.rate / fastest * _BARS if fastest else 0.0
        y = top + number * _BAR
        colour = _colour(row.contender)
        size = f'width="{width:.1f}" height="{_BAR - 2}"'
        yield f'<rect x="{_LABELS}" y="{y}" {size} fill="{colour}"/>'
        yield f'<text x="{_LABELS + width + 5:.1f}" y="{y + 11}">{row.rate:,.0f}</text>'


def _colour(contender: str) -> str:
    return _COLOURS.get(contender, _OTHER)
