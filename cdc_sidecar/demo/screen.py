"""The demo's output: a live screen on a terminal, otherwise a line every two seconds."""

import json
import time
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cdc_sidecar.demo.arrivals import Arrival
from cdc_sidecar.demo.verdict import OUTBOX, Event
from cdc_sidecar.demo.writer import Write

_LINE_SECONDS: Final = 2.0  # between two lines, so that a log stays short
_MAX_HEIGHT: Final = 30  # lines: on a high terminal the demo's earlier output stays visible
_HEADER: Final = 3  # one line and its border
_FOOTER: Final = 5  # three lines and their border
_BORDER: Final = 2  # lines of a panel's border
_RATE_SECONDS: Final = 3.0  # long enough that the shown rate does not jump
_NAMES: Final = {"r": "row", "c": "insert", "u": "update", "d": "delete", OUTBOX: "event"}
_COLOURS: Final = {"r": "blue", "c": "green", "u": "yellow", "d": "red", OUTBOX: "cyan"}
_LONG: Final = 18  # characters of a value: a line holds several values
_PREFIX: Final = 8  # characters that are shown of a longer value: a UUID's first group
_THOUSAND: Final = 1000  # milliseconds in a second, bytes in a kB
_MILLION: Final = 1_000_000  # bytes in a MB
_WHOLE_SECONDS: Final = 10  # from this value on, milliseconds are not shown


@dataclass(slots=True)
class Picture:
    """The content of the screen at one moment."""

    phase: str = "starting"
    colour: str = "yellow"
    seconds: float = 0.0  # since the first row was written
    of: float | None = None
    writes: list[Write] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    rows: int = 0
    rolled_back: int = 0
    events: int = 0
    rows_rate: float = 0.0
    events_rate: float = 0.0
    lag_bytes: int | None = None
    median: float | None = None  # seconds
    p99: float | None = None
    kills: int = 0


class Rate:
    """The rate of a counter over the last `_RATE_SECONDS`."""

    def __init__(self) -> None:
        """Start without a sample."""
        self._samples: list[tuple[float, int]] = []

    def of(self, count: int) -> float:
        """Add a sample; return the rate per second."""
        now = time.monotonic()
        self._samples.append((now, count))
        while len(self._samples) > 1 and now - self._samples[0][0] > _RATE_SECONDS:
            self._samples.pop(0)
        then, old = self._samples[0]
        return (count - old) / (now - then) if now > then else 0.0


class Screen:
    """The output. The last picture stays on the terminal."""

    def __init__(self, console: Console) -> None:
        """Describe the screen; `begin` starts drawing. Times count from now."""
        self._console = console
        self._live: Live | None = None
        self._due = 0.0
        self.began = time.monotonic()

    def begin(self) -> None:
        """Start drawing if the output is a terminal."""
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()

    def end(self) -> None:
        """Stop drawing."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, text: str, style: str = "") -> None:
        """Print one line that stays."""
        self._console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print one line that stays, with the seconds since the start."""
        self.say(f"{time.monotonic() - self.began:6.1f} s  {text}")

    def show(self, picture: Picture, *, now: bool = False) -> None:
        """Draw the picture or, without a terminal, print a line if one is due."""
        if self._live is not None:
            height = min(self._console.height - 1, _MAX_HEIGHT)
            self._live.update(_draw(picture, height), refresh=True)
        elif now or time.monotonic() >= self._due:
            self._due = time.monotonic() + _LINE_SECONDS
            self.note(_line(picture))


def _line(picture: Picture) -> str:
    return (
        f"{picture.phase}: "
        f"{picture.rows} rows written ({picture.rows_rate:.0f}/s), "
        f"{picture.events} events arrived ({picture.events_rate:.0f}/s), "
        f"lag {size_text(picture.lag_bytes)}, "
        f"latency p50 {latency_text(picture.median)}, p99 {latency_text(picture.p99)}"
    )


def _draw(picture: Picture, height: int) -> RenderableType:
    body = height - _HEADER - _FOOTER
    layout = Layout()
    layout.split_column(
        Layout(_header(picture), size=_HEADER),
        Layout(name="body", size=body),
        Layout(_footer(picture), size=_FOOTER),
    )
    lines = max(1, body - _BORDER)
    layout["body"].split_row(
        Layout(_panel("written to Postgres", [_write(w) for w in picture.writes[-lines:]])),
        Layout(
            _panel("arrived from Kafka", [_arrival(a) for a in picture.arrivals[-lines:]]), ratio=2
        ),
    )
    return _Sized(layout, height)


class _Sized:
    """A layout with a fixed height; without this class it would fill the terminal."""

    def __init__(self, layout: Layout, height: int) -> None:
        self._layout = layout
        self._height = height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self._layout, options.update_height(self._height))


def _header(picture: Picture) -> Panel:
    clock = f"{picture.seconds:.0f} s" + (f" of {picture.of:.0f} s" if picture.of else "")
    text = Text.assemble(
        ("cdc-sidecar ", "bold"),
        (f" {picture.phase} ", f"bold reverse {picture.colour}"),
        f"   {clock}   kills survived: {picture.kills}",
    )
    return Panel(text, border_style=picture.colour)


def _panel(title: str, lines: list[Text]) -> Panel:
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Panel(Group(*lines), title=title, title_align="left", border_style="dim")


def _write(write: Write) -> Text:
    if write.committed:
        return Text.assemble((f"{write.rows:4} ", "dim"), write.what)
    return Text.assemble((f"{write.rows:4} ", "dim"), (f"rolled back: {write.what}", "dim strike"))


def _arrival(arrival: Arrival) -> Text:
    event = arrival.event
    latency = "" if arrival.latency is None else f"{arrival.latency * _THOUSAND:.0f} ms"
    table = event.topic.removeprefix("shop.public.").removeprefix("outbox.event.")
    colour = _COLOURS.get(event.op, "")
    return Text.assemble(
        (f"{latency:>8}  ", "dim"),
        (f"{_NAMES.get(event.op, event.op)} ", colour),
        (f"{table} {_key(event)}  ", "bold"),
        _summary(event),
    )


def _key(event: Event) -> str:
    return "/".join(shorten(part) for part in json.loads(event.key))


def _summary(event: Event) -> str:
    """Return the changed values or, if there are none, the first fields."""
    if event.op == OUTBOX and event.after:
        return f"{event.after['type']} {event.after['payload']}"
    before, after = event.before or {}, event.after or {}
    if before and after:
        changed = [name for name in after if before.get(name, after[name]) != after[name]]
        return ", ".join(f"{n} {shorten(before[n])} → {shorten(after[n])}" for n in changed)
    row = {name: value for name, value in (after or before).items() if value is not None}
    shown = [f"{name} {shorten(value)}" for name, value in list(row.items())[1:]]
    return ", ".join(shown + [f"{name} unchanged" for name in event.unchanged])


def _footer(picture: Picture) -> Panel:
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in range(4):
        grid.add_column(ratio=1, no_wrap=True)
    written = f"{picture.rows_rate:.0f}/s, {picture.rolled_back:,} rolled back"
    latency = f"p50 {latency_text(picture.median)}  p99 {latency_text(picture.p99)}"
    grid.add_row("written", "arrived", "lag", "commit to consumer", style="dim")
    grid.add_row(
        f"[bold]{picture.rows:,}[/] rows",
        f"[bold]{picture.events:,}[/] events",
        f"[bold]{size_text(picture.lag_bytes)}[/] of WAL",
        f"[bold]{latency}[/]",
    )
    grid.add_row(written, f"{picture.events_rate:.0f}/s", "", "")
    return Panel(grid, border_style="dim")


def shorten(value: str | None) -> str:
    """Return the beginning of a long value, or the value."""
    if value is None:
        return "NULL"
    return value if len(value) <= _LONG else f"{value[:_PREFIX]}…"


def latency_text(seconds: float | None) -> str:
    """Return a latency as text, in milliseconds below `_WHOLE_SECONDS`."""
    if seconds is None:
        return "-"
    return f"{seconds * _THOUSAND:.0f} ms" if seconds < _WHOLE_SECONDS else f"{seconds:.0f} s"


def size_text(size: int | None) -> str:
    """Return a number of bytes as text."""
    if size is None:
        return "-"
    if size < _THOUSAND:
        return f"{size} B"
    if size < _MILLION:
        return f"{size / _THOUSAND:.0f} kB"
    return f"{size / _MILLION:.1f} MB"
