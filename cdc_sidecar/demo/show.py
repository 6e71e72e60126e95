"""The demo from beginning to end: a shop, a sidecar that is killed on the way, and the verdict."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console

from cdc_sidecar.demo.folder import demo_folder
from cdc_sidecar.demo.report import report_lines
from cdc_sidecar.demo.screen import Picture, Rate, Screen
from cdc_sidecar.demo.shop import MARKER_TOPIC, read_tables
from cdc_sidecar.demo.sidecar import Health
from cdc_sidecar.demo.stage import Stage
from cdc_sidecar.demo.verdict import Verdict
from cdc_sidecar.demo.writer import write_marker
from cdc_sidecar.errors import ServerFailed

_TICK: Final = 0.2  # seconds between two pictures
_DEAD: Final = 0.8  # seconds that a killed sidecar stays away
_KILL_AT, _ADD_COLUMN_AT = 0.4, 0.5  # of the time
_ENDLESS: Final = 30.0  # seconds by which these shares are reckoned where no end is given
_KILL_EVERY: Final = 60.0  # seconds, where no end is given
_LAST_SECONDS: Final = 60.0  # for the last event to arrive
_DRAIN_SECONDS: Final = 20.0  # for the consumer to come to the end of every partition
_COLOURS: Final = {
    "streaming": "green",
    "coming back": "yellow",
    "KILLED": "red",
    "last events": "cyan",
}


def run_demo(console: Console, folder: Path, seconds: float | None) -> bool:
    """Run the demo in `folder`, until `seconds` of writing are over or Ctrl-C; return the verdict.

    Raises:
        ServerFailed: something that it needs did not start.

    """
    screen = Screen(console)
    with ExitStack() as stack:
        stack.callback(screen.end)
        stage = Stage(stack.enter_context(demo_folder(folder)), stack, screen.note)
        with _interrupts() as stopping:
            play = Play(stage, screen, seconds, stopping)
            play.run()
            verdict, troubles = play.judge()
        screen.end()
        for line, style in report_lines(stage, verdict, play.outages, play.duration, screen.began):
            screen.say(line, style)
        return verdict.is_good and not troubles


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Let the first Ctrl-C (or SIGTERM) ask for the verdict, and the second one end everything."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Play:
    """What happens once the shop is open."""

    def __init__(
        self,
        stage: Stage,
        screen: Screen,
        seconds: float | None,
        stopping: threading.Event,
    ) -> None:
        """Describe the play; it ends after `seconds`, or when `stopping` is set."""
        self._stage = stage
        self._screen = screen
        self._seconds = seconds
        self._stopping = stopping
        self._phase = "streaming"
        self._opened = 0.0  # monotonic
        self._rows_rate, self._events_rate = Rate(), Rate()
        self.outages: list[float] = []  # seconds
        self.duration = 0.0  # seconds of writing

    def run(self) -> None:
        """Write until the time is over, somebody stops it, or something dies unbidden."""
        self._stage.open_shop()
        self._opened = time.monotonic()
        self._screen.begin()
        cues = self._cues()
        while not self._is_over():
            while cues and cues[0][0] <= self._time():
                cues.pop(0)[1]()
            self._watch()
            self._show()
            self._stopping.wait(_TICK)
        self._stage.close_shop()
        self.duration = self._time()

    def _is_over(self) -> bool:
        timed_out = self._seconds is not None and self._time() >= self._seconds
        return timed_out or self._stopping.is_set() or bool(self._stage.troubles())

    def _cues(self) -> list[tuple[float, Callable[[], None]]]:
        """Return what is to happen, and at which second."""
        whole = self._seconds or _ENDLESS
        kills = [whole * _KILL_AT]
        if self._seconds is None:
            kills += [kills[0] + number * _KILL_EVERY for number in range(1, 1000)]
        cues = [(whole * _ADD_COLUMN_AT, self._add_column)]
        for at in kills:
            cues += [(at, self._kill), (at + _DEAD, self._start_again)]
        return sorted(cues, key=lambda cue: cue[0])

    def _add_column(self) -> None:
        self._stage.add_column()
        self._screen.note("ALTER TABLE orders ADD COLUMN channel")

    def _kill(self) -> None:
        self._stage.arrivals.latencies.note_kill()
        self._stage.sidecar.kill()
        self._phase = "KILLED"
        self._screen.note(f"SIGKILL to the sidecar, process {self._stage.sidecar.pid}")

    def _start_again(self) -> None:
        if self._stage.sidecar.health is Health.KILLED:
            self._stage.sidecar.start()
            self._phase = "coming back"

    def _watch(self) -> None:
        """See whether a sidecar that was killed streams again."""
        sidecar = self._stage.sidecar
        if self._phase == "coming back" and sidecar.health is Health.STREAMING:
            self._stage.arrivals.latencies.note_back()
            self.outages.append(time.monotonic() - sidecar.killed_at)
            self._phase = "streaming"
            self._screen.note(f"back after {self.outages[-1]:.1f} s as process {sidecar.pid}")

    # --- the verdict

    def judge(self) -> tuple[Verdict, list[str]]:
        """Wait for the last event, stop the sidecar, and compare; the troubles come with it."""
        stage = self._stage
        self._start_again()
        self._await_last_event()
        troubles = stage.troubles()
        try:
            stage.sidecar.stop()
            self._await(stage.arrivals.has_read_everything, _DRAIN_SECONDS)
        except ServerFailed as error:
            troubles.append(str(error))
        stage.auditor.finish()
        stage.arrivals.finish()
        self._show(now=True)
        different = stage.arrivals.replica.differences(read_tables(stage.dsn))
        for trouble in troubles:
            self._screen.say(trouble, "red")
        return stage.ledger.judge(different), troubles

    def _await_last_event(self) -> None:
        write_marker(self._stage.dsn)
        arrived = self._stage.arrivals.counts
        self._await(lambda: bool(arrived[MARKER_TOPIC]), _LAST_SECONDS)
        self._phase = "last events"

    def _await(self, condition: Callable[[], bool], seconds: float) -> None:
        """Go on showing until the condition holds; what cannot hold any more is not awaited."""
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline and not self._stage.troubles():
            self._watch()
            self._show()
            time.sleep(_TICK / 4)

    # --- the picture

    def _time(self) -> float:
        return time.monotonic() - self._opened

    def _show(self, *, now: bool = False) -> None:
        stage, journal, arrivals = self._stage, self._stage.journal, self._stage.arrivals
        picture = Picture(
            phase=self._phase,
            colour=_COLOURS[self._phase],
            seconds=self._time(),
            of=self._seconds,
            writes=list(journal.last),
            arrivals=list(arrivals.last),
            rows=journal.rows,
            rolled_back=journal.rows_rolled_back,
            events=arrivals.count,
            rows_rate=self._rows_rate.of(journal.rows),
            events_rate=self._events_rate.of(arrivals.count),
            lag_bytes=stage.auditor.lag_bytes,
            median=arrivals.latencies.recent(0.5),
            p99=arrivals.latencies.recent(0.99),
            kills=len(self.outages),
        )
        self._screen.show(picture, now=now)
