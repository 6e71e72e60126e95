"""The daemon: owns what outlives a session, and runs one session after the other until it stops.

Called by `cdc-sidecar run` in the main thread; its result is the exit status.
"""

import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from cdc_sidecar import __version__, failpoints
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import (
    Disposition,
    FencedTooOften,
    OutboxEventRefused,
    ProducerFenced,
    SidecarError,
)
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.logs import get_logger, is_console, set_level
from cdc_sidecar.postgres.catalog import PublishedTable
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.runtime.control import ControlSocket
from cdc_sidecar.runtime.crash import CrashGuard, crash_error, end_error
from cdc_sidecar.runtime.exposure import metrics_of
from cdc_sidecar.runtime.first_board import first_board, host_of
from cdc_sidecar.runtime.guardian import Guardian
from cdc_sidecar.runtime.memory import (
    calm_allocator,
    calm_collector,
    collect_leftovers,
    forget_frames,
)
from cdc_sidecar.runtime.minute import Minute
from cdc_sidecar.runtime.patience import Patience
from cdc_sidecar.runtime.ports import Endpoint
from cdc_sidecar.runtime.reload import Reloader
from cdc_sidecar.runtime.resources import Resources
from cdc_sidecar.runtime.runs import RunKeeper
from cdc_sidecar.runtime.session import Session
from cdc_sidecar.runtime.signals import SignalThread
from cdc_sidecar.runtime.snapshot_requests import SnapshotRequests
from cdc_sidecar.runtime.status import Phase
from cdc_sidecar.runtime.stop_request import StopRequest
from cdc_sidecar.runtime.telemetry import Telemetry
from cdc_sidecar.tracing import tracer_of

_LASTING: Final = frozenset({"guardian", "http", "log", "signals"})
"""The threads that live as long as the process: when one of them ends, so does the process."""
_TIDY: Final = 5.0  # seconds between two collections of garbage while a halt is held
FIRST_BACKOFF: Final = 0.5
"""Seconds before the second session: a restarted server accepts connections soon after."""
LAST_BACKOFF: Final = 30.0
"""Seconds at most between two sessions: the longest time for which the sidecar stays disconnected
from a server that is available again."""
HEALTHY_AFTER: Final = 30.0
"""Seconds of streaming after which the back-off begins anew: longer than the longest back-off, so
that a session which always fails soon is not tried more often."""
FENCES_ALLOWED: Final = 5  # within FENCES_WITHIN, which gives the reason
FENCES_WITHIN: Final = 600.0
"""Seconds. A broker that times a transaction out fences as a rival does, once for each outage. Five
fences in ten minutes mean another producer with our id, or a time-out that is too short."""


class Daemon:
    """The process of `cdc-sidecar run`, apart from HTTP, which only reads `board` and `served`."""

    def __init__(self, config: Config, load: Callable[[], Config], *, bootstrap: bool) -> None:
        """Create the objects that outlive a session; nothing is connected yet.

        `load` reads the configuration anew when that is asked for.

        Raises:
            FailpointInvalid: the environment names a failpoint that does not exist.

        """
        calm_allocator()
        calm_collector()
        self._armed = failpoints.arm(os.environ.get(failpoints.VARIABLE, ""))
        self.board = first_board(config)
        self.served = Subjects()
        self.metrics = metrics_of(config, self.board, self.served)
        self._log = get_logger(service=config.service.name)
        self._tracer = tracer_of(config.tracing, config.service.name, __version__)
        self._telemetry = self._make_telemetry(config)
        self._resources = Resources(
            config=config,
            version=__version__,
            database=Database(config.postgres),
            served=self.served,
            telemetry=self._telemetry,
            runs=RunKeeper(config, __version__, self._log),
            stopping=StopRequest(self._telemetry.main_beat),
            walsenders=set(),
            requests=SnapshotRequests(),
            bootstrap=bootstrap,
        )
        self._session: Session | None = None
        self._crash: SidecarError | None = None  # of a thread that outlives sessions
        self._signals = self._make_signal_thread(config.shutdown.grace)
        self._guardian = self._make_guardian()
        self._reloader = Reloader(load, self._log)
        self._new_config: Config | None = None  # for the next session
        self._fences: deque[float] = deque(maxlen=FENCES_ALLOWED)
        self._backoff = FIRST_BACKOFF
        self._patience = Patience(config)

    def run(self, endpoint: Endpoint) -> int:
        """Run until stopped or halted; return the exit status."""
        resources = self._resources
        threading.excepthook = self._end_on_crash
        self._telemetry.main_beat()
        self._signals.take_pending()
        self._start("signals", self._signals.run)
        endpoint.start()
        control = ControlSocket(resources.config.control_socket, resources.requests, self._log)
        control.start()
        page = resources.config.http.page(endpoint.port)
        self._log.info(
            "sidecar_started", version=__version__, http_port=endpoint.port, status_page=page
        )
        if self._armed:
            self._log.warning("failpoints_armed", points=self._armed)
        self._start("guardian", self._guardian.run, resources.stopping)
        try:
            return self._supervise()
        finally:
            resources.stopping.set()
            endpoint.stop()
            control.stop()
            resources.database.close()
            if self._tracer:
                self._tracer.close()

    def _start(self, name: str, target: Callable[..., None], *arguments: object) -> None:
        """Start a thread that lives as long as the process."""

        def live() -> None:
            target(*arguments)
            if not self._resources.stopping.is_set():
                self._end_process(end_error(name))

        threading.Thread(target=live, name=name, daemon=True).start()

    def _beat(self) -> None:
        self.board.beats.note({"signals": time.monotonic()})
        self.board.sample()
        self._telemetry.minute_passed()

    def _stop(self, signal: str) -> None:
        """Stop in order. Called by the thread that waits for signals."""
        self._resources.stopping.set()
        session = self._session
        if session:
            session.stop()
        self._log.info("stop_requested", signal=signal)

    def _end_on_crash(self, crash: threading.ExceptHookArgs) -> None:
        """End the session when a thread crashes: otherwise it would look like an idle stream."""
        name = crash.thread.name if crash.thread else "unknown"
        error = crash_error(crash.exc_type, crash.exc_traceback, name)
        if name in _LASTING:
            self._end_process(error)
        else:
            self._fail_session(error)
        self._log.error("thread_crashed", thread=name, where=error.where)

    def _end_process(self, error: SidecarError) -> None:
        """End the session, and then the process, with an error."""
        self._crash = self._crash or error
        self._fail_session(error)
        self._resources.stopping.set()

    def _fail_session(self, error: SidecarError) -> None:
        session = self._session  # the main thread may clear it at the same time
        if session:
            session.fail(error)

    def _captured(self) -> Sequence[PublishedTable]:
        session = self._session
        return session.captured if session else ()

    def _make_telemetry(self, config: Config) -> Telemetry:
        minute = Minute() if is_console(config.log) else None
        return Telemetry(self.board, self.metrics, self._log, minute=minute, tracer=self._tracer)

    def _make_signal_thread(self, grace: float) -> SignalThread:
        return SignalThread(self._stop, self._ask_reload, self._beat, grace, self._log)

    def _make_guardian(self) -> Guardian:
        return Guardian(
            self._resources.config,
            self._resources.database,
            captured=self._captured,
            fail=self._fail_session,
            telemetry=self._telemetry,
        )

    def _supervise(self) -> int:
        """Run one session after the other; return the exit status."""
        number = 0
        while not self._resources.stopping.is_set():
            number += 1
            self._take_over()
            status = self._run_session(number)
            if status is not None:
                self._stay(status)
                return status
        if self._crash:
            self._report_halt(self._crash)
            return self._crash.disposition.exit_status
        if self.board.now.kafka_reachable:
            self._resources.runs.stopped()
        self._telemetry.phase_entered(Phase.STOPPED)
        self._log.info("sidecar_stopped")
        return 0

    def _ask_reload(self) -> None:
        """Load the configuration anew. Called by the thread that waits for signals."""
        threading.Thread(target=self._reload, name="reload", daemon=True).start()

    def _reload(self) -> None:
        with CrashGuard():
            config = self._reloader.new_config(self._resources)
        if config:
            self._new_config = config
            session = self._session
            if session:
                session.stop()

    def _take_over(self) -> None:
        """Use a configuration that was loaded anew, before the next session."""
        config, self._new_config = self._new_config, None
        if config:
            runs = RunKeeper(config, __version__, self._log)
            self._resources = replace(self._resources, config=config, runs=runs)
            self._guardian.reconfigure(config)
            self._telemetry.configuration_loaded(config)
            set_level(config.log)

    def _run_session(self, number: int) -> int | None:
        """Run one session; return the exit status, or None if another may follow."""
        session = self._session = Session(self._resources, number)
        try:
            with CrashGuard():
                session.run()
        except SidecarError as error:
            self._session = None
            self._telemetry.stream_ended()
            forget_frames(error)
            collect_leftovers()
            return self._ended(error, session.streaming_since)
        return None

    def _ended(self, error: SidecarError, since: float | None) -> int | None:
        """Judge the end of a session that streamed `since`; return the exit status, or None.

        The caller's frame is in the traceback: a variable there would keep the session's clients.
        """
        counted = self._counted(error, streamed=since is not None)
        status = self._judge(counted)
        if status is None:
            self._back_off(counted, since)
        return status

    def _stay(self, status: int) -> None:
        """After a halt, wait for the signal to end if configured; the pages show the error."""
        halted = status == Disposition.HALT.exit_status
        if halted and self._resources.config.shutdown.on_halt == "stay":
            self._log.warning("halt_held", until="SIGTERM")
            while not self._resources.stopping.wait(_TIDY):
                collect_leftovers()  # a thread of the session may have ended later than it
            self._log.info("sidecar_stopped", exit_status=status)

    def _counted(self, error: SidecarError, *, streamed: bool) -> SidecarError:
        """Count the end of a session; return the error that counts."""
        self.metrics.sessions.labels(error.code).inc()
        if isinstance(error, OutboxEventRefused):
            self.metrics.outbox.refused(error.outbox, error.event_type)
        if isinstance(error, ProducerFenced):
            error = self._fenced(error)
        return self._patience.judge(error, self.board.now.commits, streamed=streamed)

    def _judge(self, error: SidecarError) -> int | None:
        """Return the exit status, or None if another session may succeed."""
        if self._patience.retries(error):
            return None
        self._report_halt(error)
        return error.disposition.exit_status

    def _report_halt(self, error: SidecarError) -> None:
        self.board.update(error=str(error), error_code=error.code)
        self._telemetry.phase_entered(Phase.HALTED)
        self._log.error("sidecar_halted", **error.parts)
        self._resources.runs.ended(error)

    def _fenced(self, error: ProducerFenced) -> SidecarError:
        """Return the error, or FencedTooOften if it occurred too often."""
        now = time.monotonic()
        self._fences.append(now)
        if len(self._fences) < FENCES_ALLOWED or now - self._fences[0] >= FENCES_WITHIN:
            return error
        return FencedTooOften(
            f"{FENCES_ALLOWED} times within {FENCES_WITHIN:.0f} s; last: {error.fact}",
            cause="another producer uses our transactional id, or transaction_timeout is too short",
            hint="stop the other producer with this id, or raise publish.transaction_timeout",
        )

    def _back_off(self, error: SidecarError, streaming_since: float | None) -> None:
        seconds = self._next_delay(streaming_since)
        if self._resources.stopping.is_set():
            return
        self.board.update(error=str(error), error_code=error.code)
        self._telemetry.phase_entered(Phase.BACKING_OFF)
        host = host_of(self._resources.config)
        self._telemetry.session_ended(error, host=host, retry=seconds)
        self._resources.stopping.wait(seconds)
        self.board.update(error=None, error_code="")

    def _next_delay(self, streaming_since: float | None) -> float:
        """Return the seconds before the next session, and double them for the one after it."""
        now = time.monotonic()
        if streaming_since is not None and now - streaming_since > HEALTHY_AFTER:
            self._backoff = FIRST_BACKOFF
        seconds = self._backoff * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret
        self._backoff = min(self._backoff * 2, LAST_BACKOFF)
        return seconds
