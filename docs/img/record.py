"""Record `make demo` as an animated SVG, docs/img/demo.svg: `.venv/bin/python docs/img/record.py`.

The demo runs in a terminal of its own. The picture shows a few moments of it, found by what the
screen says, so that a new recording tells the same story.
"""  # noqa: INP001 - a script beside its picture

import codecs
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.style import Style
from rich.text import Text

COLUMNS: Final = 112
ROWS: Final = 30
SECONDS: Final = 60  # of writing: the older rows have come before the kill
TARGET: Final = Path(__file__).with_name("demo.svg")
LIMIT: Final = 150_000  # bytes of the picture

_CHARACTER: Final = (7.2, 15.5)  # width and height, in pixels
_MARGIN: Final = 12
_SHOWN_SECONDS: Final = 2.4  # each moment; the last one is shown twice as long
_CONTROL: Final = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])")
_BACKGROUND: Final = "#0f1419"
_FOREGROUND: Final = "#c5cdd6"
_COLOURS: Final = {1: "#e06c75", 2: "#7fc77f", 3: "#d9b85c", 6: "#5cb8c4"}  # red to cyan
_DESCRIPTION: Final = (
    "A terminal: rows are written to Postgres on the left and arrive from Kafka on the right; the"
    " sidecar is killed and starts again; at the end every event has arrived once."
)
_STYLES: Final = {"b": "bold", "d": "dim", "s": "strike"}
_MOMENTS: Final = (
    ("the rows that are older than the sidecar", r"\bstreaming +[3-9] s.*kills survived: 0"),
    ("the stream without them", r"\bstreaming\b.*kills survived: 0.*\d ms +(insert|update)"),
    ("the kill", r"\bKILLED\b"),
    ("the start after it", r"\bcoming back\b"),
    ("the stream goes on", r"\bstreaming\b.*kills survived: 1"),
    ("shortly before the end", r"\bstreaming +5[5-9] s.*kills survived: 1"),
)
"""What is shown, and the header of the first picture in which it is seen."""
_LAST: Final = "commit to consumer"
"""Words at the bottom of the demo's screen: what is above them is drawn."""


class Terminal:
    """The lines of a program that moves the cursor up only to replace whole lines."""

    def __init__(self) -> None:
        self.lines = [""]
        self._row = 0
        self._rest = ""

    def feed(self, text: str) -> None:
        """Take output; an incomplete sequence waits for its end."""
        text, self._rest = _whole(self._rest + text)
        start = 0
        for found in _CONTROL.finditer(text):
            self._write(text[start : found.start()])
            start = found.end()
            self._control(found)
        self._write(text[start:])

    def _write(self, text: str) -> None:
        self.lines[self._row] += text

    def _control(self, found: re.Match[str]) -> None:
        number, kind, plain = found.groups()
        if plain == "\n":
            self._row += 1
            if self._row == len(self.lines):
                self.lines.append("")
        elif kind == "A":
            self._row = max(0, self._row - int(number or 1))
        elif kind == "K":
            self.lines[self._row] = ""
        elif kind == "m":
            self._write(found.group())

    def shown(self) -> list[str]:
        """Return the lines that fit, from the bottom."""
        lines = self.lines if self.lines[-1] else self.lines[:-1]
        return [line.replace(f"{Path.cwd()}/", "") for line in lines[-ROWS:]]


def _whole(text: str) -> tuple[str, str]:
    """Return the text without an escape sequence that is cut off at its end, and that sequence."""
    start = text.rfind("\x1b")
    cut = start >= 0 and not _CONTROL.match(text, start)
    return (text[:start], text[start:]) if cut else (text, "")


def run_demo() -> Iterator[str]:
    """Yield the output of the demo as it comes.

    Raises:
        SystemExit: the demo has failed.

    """
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
        os.execlp("make", "make", "--no-print-directory", "demo", f"SECONDS={SECONDS}")  # noqa: S606, S607 - as a reader types it
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    decoder = codecs.getincrementaldecoder("utf-8")()
    while True:
        try:
            read = os.read(terminal, 65536)
        except OSError:  # the program has ended
            break
        yield decoder.decode(read)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit("the demo has failed")


def record() -> list[list[str]]:
    """Return the lines of each moment, and of the end.

    Raises:
        SystemExit: the demo has failed, or a moment did not come.

    """
    terminal, frames = Terminal(), []
    wanted = list(_MOMENTS)
    for text in run_demo():
        terminal.feed(text)
        lines = terminal.shown()
        head = " ".join(Text.from_ansi(line).plain for line in lines)
        is_drawn = _LAST in head and head.rstrip().endswith("╯")
        if wanted and is_drawn and re.search(wanted[0][1], head):
            frames.append(lines)
            wanted.pop(0)
    if wanted:
        sys.exit(f"not seen: {wanted[0][0]}")
    return [*frames, terminal.shown()]


def draw(frames: list[list[str]]) -> str:
    """Return the animated picture."""
    width = COLUMNS * _CHARACTER[0] + 2 * _MARGIN
    height = ROWS * _CHARACTER[1] + 2 * _MARGIN
    groups = [f'<g class="f{n}">{"".join(_rows(frame))}</g>' for n, frame in enumerate(frames)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img"'
        f' aria-labelledby="t d"><title id="t">make demo</title><desc id="d">{_DESCRIPTION}</desc>'
    )
    screen = f'<rect width="{width:g}" height="{height:g}" rx="8" fill="{_BACKGROUND}"/>'
    return "\n".join([head, f"<style>{_style(len(frames))}</style>", screen, *groups, "</svg>\n"])


def _style(frames: int) -> str:
    """Return the style sheet: each frame has its share of the time, and the last one two."""
    shares = [*range(frames), frames + 1]
    whole = shares[-1] * _SHOWN_SECONDS
    font = "font:12px 'DejaVu Sans Mono',Menlo,Consolas,monospace"
    rules = [
        f"text{{{font};fill:{_FOREGROUND};white-space:pre}}",
        ".b{font-weight:bold}.d{opacity:.6}.s{text-decoration:line-through}",
        *(f".c{number}{{fill:{colour}}}" for number, colour in _COLOURS.items()),
    ]
    for number, (start, end) in enumerate(pairwise(shares)):
        on, off = 100 * start / shares[-1], 100 * end / shares[-1]
        rules.append(
            f".f{number}{{visibility:hidden;animation:a{number} {whole:g}s steps(1) infinite}}"
            f"@keyframes a{number}{{0%{{visibility:hidden}}{on:.2f}%{{visibility:visible}}"
            f"{off:.2f}%{{visibility:{'visible' if end == shares[-1] else 'hidden'}}}}}"
        )
    last = f".f{frames - 1}{{visibility:visible;animation:none}}"
    still = "".join(f".f{n}{{animation:none}}" for n in range(frames - 1))
    rules.append(f"@media(prefers-reduced-motion:reduce){{{still}{last}}}")
    return "".join(rules)


def _rows(lines: list[str]) -> Iterator[str]:
    console = Console(width=COLUMNS)
    for row, line in enumerate(lines):
        y = _MARGIN + (row + 0.8) * _CHARACTER[1]
        column = 0
        for segment in Text.from_ansi(line).render(console, end=""):
            yield from _span(segment.text, _classes(segment.style or Style()), column, y)
            column += len(segment.text)


def _span(text: str, classes: str, column: int, y: float) -> Iterator[str]:
    """Yield a text element, of the exact width of its characters; blanks need none."""
    left = text.lstrip(" ")
    column, text = column + len(text) - len(left), left.rstrip(" ")
    if text:
        x = _MARGIN + column * _CHARACTER[0]
        wide = f' textLength="{len(text) * _CHARACTER[0]:g}"' if len(text) > 1 else ""
        named = f' class="{classes}"' if classes else ""
        yield f'<text x="{x:g}" y="{y:g}"{wide}{named}>{escape(text, quote=False)}</text>'


def _classes(style: Style) -> str:
    names = [name for name, word in _STYLES.items() if getattr(style, word)]
    number = style.color.number if style.color else None
    return " ".join([*names, *([f"c{number}"] if number in _COLOURS else [])])


if __name__ == "__main__":
    picture = draw(record())
    if len(picture) > LIMIT:
        sys.exit(f"{len(picture)} bytes are more than {LIMIT}")
    TARGET.write_text(picture, encoding="utf-8")
