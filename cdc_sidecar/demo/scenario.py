"""The demo from start to end: a shop is written, the sidecar is killed, the verdict is printed."""

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
from cdc_sidecar.demo.idle_timeout import IdleTimeout
from cdc_sidecar.demo.report import report_lines
from cdc_sidecar.demo.screen import Picture, Rate, Screen
from cdc_sidecar.demo.setup import Setup
from cdc_sidecar.demo.shop import MARKER_TOPIC, read_tables
from cdc_sidecar.demo.sidecar import Health
from cdc_sidecar.demo.verdict import Verdict
from cdc_sidecar.demo.writer import write_marker
from cdc_sidecar.errors import ServerFailed

_TICK: Final = 0.2  # seconds between two pictures: smooth, and cheap to draw
_DEAD: Final = 0.8  # seconds until a killed sidecar is started again: long enough to be seen
_KILL_AT, _ADD_COLUMN_AT = 0.4, 0.5  # shares of the time: both effects are seen before the end
_ENDLESS: Final = 30.0  # seconds that stand for the whole time in an endless demo
_KILL_EVERY: Final = 60.0  # seconds between two kills in an endless demo
_KILLS: Final = 1000  # planned kills of an endless demo: 16 hours
_LAST_SECONDS: Final = 60.0  # without any event: the sidecar may just have been killed
_DRAIN_SECONDS: Final = 20.0  # without any event: the consumer reads what the brokers have
_COLOURS: Final = {
    "streaming": "green",
    "coming back": "yellow",
    "KILLED": "red",
    "last events": "cyan",
}


def run_demo(console: Console, folder: Path, seconds: float | None) -> bool:
    """Run the demo in `folder` for `seconds` of writing or until Ctrl-C; return its verdict.

    Raises:
        DemoUnavailable: `folder` cannot be used.
        ServerFailed: a server or the sidecar does not start.

    """
    screen = Screen(console)
    with ExitStack() as stack:
        stack.callback(screen.end)
        setup = Setup(stack.enter_context(demo_folder(folder)), stack, screen.note)
        with _interrupts() as stopping:
            scenario = Scenario(setup, screen, seconds, stopping)
            scenario.run()
            verdict, troubles = scenario.judge()
        screen.end()
        for line, style in report_lines(
            setup, verdict, scenario.outages, scenario.duration, screen.began
        ):
            screen.say(line, style)
        return verdict.is_good and not troubles


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """End the writing at the first Ctrl-C or SIGTERM, and the whole demo at the second one."""
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


class Scenario:
    """The events of a demo: writing, a new column, a kill, and the verdict."""

    def __init__(
        self,
        setup: Setup,
        screen: Screen,
        seconds: float | None,
        stopping: threading.Event,
    ) -> None:
        """Describe the scenario. It ends after `seconds`, or when `stopping` is set."""
        self._setup = setup
        self._screen = screen
        self._seconds = seconds
        self._stopping = stopping
        self._phase = "streaming"
        self._opened = 0.0  # monotonic
        self._rows_rate, self._events_rate = Rate(), Rate()
        self.outages: list[float] = []  # seconds
        self.duration = 0.0  # seconds of writing

    def run(self) -> None:
        """Write until the time is over, `stopping` is set, or a part has failed."""
        self._setup.open_shop()
        self._opened = time.monotonic()
        self._screen.begin()
        actions = self._timed_actions()
        while not self._is_over():
            while actions and actions[0][0] <= self._time():
                actions.pop(0)[1]()
            self._watch()
            self._show()
            self._stopping.wait(_TICK)
        self._setup.close_shop()
        self.duration = self._time()

    def _is_over(self) -> bool:
        timed_out = self._seconds is not None and self._time() >= self._seconds
        return timed_out or self._stopping.is_set() or bool(self._setup.troubles())

    def _timed_actions(self) -> list[tuple[float, Callable[[], None]]]:
        """Return the actions and their times, in seconds since the opening."""
        whole = self._seconds or _ENDLESS
        kills = [whole * _KILL_AT]
        if self._seconds is None:
            kills += [kills[0] + number * _KILL_EVERY for number in range(1, _KILLS)]
        actions = [(whole * _ADD_COLUMN_AT, self._add_column)]
        for at in kills:
            actions += [(at, self._kill), (at + _DEAD, self._start_again)]
        return sorted(actions, key=lambda action: action[0])

    def _add_column(self) -> None:
        self._setup.add_column()
        self._screen.note("ALTER TABLE orders ADD COLUMN channel")

    def _kill(self) -> None:
        self._setup.arrivals.latencies.note_kill()
        self._setup.sidecar.kill()
        self._phase = "KILLED"
        self._screen.note(f"SIGKILL to the sidecar, process {self._setup.sidecar.pid}")

    def _start_again(self) -> None:
        if self._setup.sidecar.health is Health.KILLED:
            self._setup.sidecar.start()
            self._phase = "coming back"

    def _watch(self) -> None:
        """Check whether a sidecar that was killed streams again."""
        sidecar = self._setup.sidecar
        if self._phase == "coming back" and sidecar.health is Health.STREAMING:
            self._setup.arrivals.latencies.note_back()
            self.outages.append(time.monotonic() - sidecar.killed_at)
            self._phase = "streaming"
            self._screen.note(f"back after {self.outages[-1]:.1f} s as process {sidecar.pid}")

    # --- the verdict

    def judge(self) -> tuple[Verdict, list[str]]:
        """Wait for the last event, stop the sidecar and compare; return the errors too."""
        setup = self._setup
        self._start_again()
        self._await_last_event()
        troubles = setup.troubles()
        try:
            setup.sidecar.stop()
            self._await(setup.arrivals.has_read_everything, _DRAIN_SECONDS)
        except ServerFailed as error:
            troubles.append(str(error))
        setup.auditor.finish()
        setup.arrivals.finish()
        self._show(now=True)
        different = setup.arrivals.replica.differences(read_tables(setup.dsn))
        for trouble in troubles:
            self._screen.say(trouble, "red")
        return setup.tally.judge(different), troubles

    def _await_last_event(self) -> None:
        write_marker(self._setup.dsn)
        arrived = self._setup.arrivals.counts
        self._await(lambda: bool(arrived[MARKER_TOPIC]), _LAST_SECONDS)
        self._phase = "last events"

    def _await(self, condition: Callable[[], bool], seconds: float) -> None:
        """Update the screen until the condition holds or a part has failed.

        Return also when no event has come for `seconds`.
        """
        idle, arrivals = IdleTimeout(seconds), self._setup.arrivals
        while not (condition() or idle.is_over(arrivals.count) or self._setup.troubles()):
            self._watch()
            self._show()
            time.sleep(_TICK / 4)

    # --- the picture

    def _time(self) -> float:
        return time.monotonic() - self._opened

    def _show(self, *, now: bool = False) -> None:
        setup, journal, arrivals = self._setup, self._setup.journal, self._setup.arrivals
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
            lag_bytes=setup.auditor.lag_bytes,
            median=arrivals.latencies.recent(0.5),
            p99=arrivals.latencies.recent(0.99),
            kills=len(self.outages),
        )
        self._screen.show(picture, now=now)
