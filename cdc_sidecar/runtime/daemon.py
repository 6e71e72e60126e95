"""The daemon: owns what outlives a session, and runs one session after the other until it stops.

Called by `cdc-sidecar run` in the main thread; its result is the exit status.
"""

import os
import random
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from cdc_sidecar import __version__, failpoints
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import (
    Disposition,
    FencedTooOften,
    InternalError,
    ProducerFenced,
    SidecarError,
)
from cdc_sidecar.events import twin
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.logs import get_logger
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.runtime.guardian import Guardian
from cdc_sidecar.runtime.memory import (
    calm_allocator,
    calm_collector,
    collect_leftovers,
    forget_frames,
)
from cdc_sidecar.runtime.patience import Patience
from cdc_sidecar.runtime.resources import Resources
from cdc_sidecar.runtime.session import Session
from cdc_sidecar.runtime.status import Phase, Status, StatusBoard
from cdc_sidecar.runtime.telemetry import Telemetry

_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
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


class Endpoint(Protocol):
    """The server of the daemon's pages; `cdc_sidecar.http.server.HttpServer` is the real one."""

    @property
    def port(self) -> int:
        """The port that it listens on."""

    def start(self) -> None:
        """Serve in a thread."""

    def stop(self) -> None:
        """Stop serving."""


class Daemon:
    """The process of `cdc-sidecar run`, apart from HTTP, which only reads `board` and `served`."""

    def __init__(self, config: Config, *, bootstrap: bool) -> None:
        """Create the objects that outlive a session; nothing is connected yet.

        Raises:
            FailpointInvalid: the environment names a failpoint that does not exist.

        """
        calm_allocator()
        calm_collector()
        self._armed = failpoints.arm(os.environ.get(failpoints.VARIABLE, ""))
        self.board = StatusBoard(_first_status(config))
        self.metrics = _metrics_of(self.board)
        self.served = Subjects()
        self._log = get_logger(service=config.service.name)
        self._telemetry = Telemetry(self.board, self.metrics, self._log)
        self._resources = Resources(
            config=config,
            version=__version__,
            database=Database(config.postgres),
            served=self.served,
            telemetry=self._telemetry,
            stopping=threading.Event(),
            walsenders=set(),
            bootstrap=bootstrap,
        )
        self._session: Session | None = None
        self._fences: deque[float] = deque(maxlen=FENCES_ALLOWED)
        self._backoff = FIRST_BACKOFF
        self._patience = Patience(config)

    def run(self, endpoint: Endpoint) -> int:
        """Run until stopped or halted; return the exit status."""
        resources = self._resources
        self._catch_signals()
        endpoint.start()
        threading.excepthook = self._end_on_crash
        self._log.info("sidecar_started", version=__version__, http_port=endpoint.port)
        if self._armed:
            self._log.warning("failpoints_armed", points=self._armed)
        self._start_guardian()
        try:
            return self._supervise()
        finally:
            resources.stopping.set()
            endpoint.stop()
            resources.database.close()

    def _catch_signals(self) -> None:
        """Wait for signals in a thread that is started before any other.

        A signal that the kernel delivers to another thread would be seen by Python's main thread
        only when that wakes, which may be at the end of a back-off, after the grace period.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        threading.Thread(target=self._await_signal, name="signals", daemon=True).start()

    def _await_signal(self) -> None:
        number = signal.sigwait(_SIGNALS)
        self._log.info("stop_requested", signal=signal.Signals(number).name)
        self._resources.stopping.set()
        session = self._session
        if session:
            session.stop()

    def _end_on_crash(self, crash: threading.ExceptHookArgs) -> None:
        """End the session when a thread crashes: otherwise it would look like an idle stream.

        The message of the exception is left out, because it may hold a row value.
        """
        name = crash.thread.name if crash.thread else "unknown"
        frames = traceback.extract_tb(crash.exc_traceback)
        places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        error = InternalError(
            f"{crash.exc_type.__name__} in thread {name}",
            where=" < ".join(reversed(places)),
            hint="report it with these lines; a restart continues from the position",
        )
        self._log.error("thread_crashed", thread=name, where=error.where)
        self._fail_session(error)

    def _fail_session(self, error: SidecarError) -> None:
        session = self._session  # the main thread may clear it at the same time
        if session:
            session.fail(error)

    def _captured(self) -> Mapping[int, str]:
        session = self._session
        return session.captured if session else {}

    def _start_guardian(self) -> None:
        resources = self._resources
        guardian = Guardian(
            resources.config,
            resources.database,
            captured=self._captured,
            fail=self._fail_session,
            telemetry=self._telemetry,
        )
        thread = threading.Thread(
            target=guardian.run, args=(resources.stopping,), name="guardian", daemon=True
        )
        thread.start()

    def _supervise(self) -> int:
        """Run one session after the other; return the exit status."""
        number = 0
        while not self._resources.stopping.is_set():
            number += 1
            status = self._run_session(number)
            if status is not None:
                self._stay(status)
                return status
        self._telemetry.phase_entered(Phase.STOPPED)
        self._log.info("sidecar_stopped")
        return 0

    def _run_session(self, number: int) -> int | None:
        """Run one session; return the exit status, or None if another may follow."""
        session = self._session = Session(self._resources, number)
        try:
            session.run()
        except SidecarError as error:
            self._session = None
            self._telemetry.stream_ended()
            forget_frames(error)
            collect_leftovers()
            counted = self._counted(error, streamed=session.streaming_since is not None)
            status = self._judge(counted)
            if status is None:
                self._back_off(counted, session.streaming_since)
            return status
        return None

    def _stay(self, status: int) -> None:
        """After a halt, wait for the signal to end if configured; the pages show the error."""
        halted = status == Disposition.HALT.exit_status
        if halted and self._resources.config.shutdown.on_halt == "stay":
            self._log.warning("halt_held", until="SIGTERM")
            self._resources.stopping.wait()
            self._log.info("sidecar_stopped", exit_status=status)

    def _counted(self, error: SidecarError, *, streamed: bool) -> SidecarError:
        """Count the end of a session; return the error that counts."""
        self.metrics.sessions.labels(error.code).inc()
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
        self.board.update(error=str(error))
        self._telemetry.phase_entered(Phase.HALTED)
        self._log.error(
            "sidecar_halted",
            code=error.code,
            title=error.title,
            fact=error.fact,
            where=error.where,
            cause=error.cause,
            hint=error.hint,
        )

    def _fenced(self, error: ProducerFenced) -> SidecarError:
        """Return the error, or FencedTooOften if it occurred too often."""
        now = time.monotonic()
        self._fences.append(now)
        if len(self._fences) < FENCES_ALLOWED or now - self._fences[0] >= FENCES_WITHIN:
            return error
        return FencedTooOften(
            f"{FENCES_ALLOWED} times within {FENCES_WITHIN:.0f} s; last: {error.fact}",
            cause="another producer uses our transactional id, or transaction_timeout is too short",
            hint="look for another producer with this id",
        )

    def _back_off(self, error: SidecarError, streaming_since: float | None) -> None:
        seconds = self._next_delay(streaming_since)
        if self._resources.stopping.is_set():
            return
        self.board.update(error=str(error))
        self._telemetry.phase_entered(Phase.BACKING_OFF)
        self._log.warning(
            "session_ended",
            code=error.code,
            title=error.title,
            fact=error.fact,
            retry_in_seconds=round(seconds, 1),
        )
        self._resources.stopping.wait(seconds)
        self.board.update(error=None)

    def _next_delay(self, streaming_since: float | None) -> float:
        """Return the seconds before the next session, and double them for the one after it."""
        now = time.monotonic()
        if streaming_since is not None and now - streaming_since > HEALTHY_AFTER:
            self._backoff = FIRST_BACKOFF
        seconds = self._backoff * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret
        self._backoff = min(self._backoff * 2, LAST_BACKOFF)
        return seconds


def _first_status(config: Config) -> Status:
    name, slot = config.service.name, config.postgres.slot
    return Status(name, slot, config.transactional_id, __version__, time.time())


def _metrics_of(board: StatusBoard) -> Metrics:
    """Return the metrics; the gauges that change between two events read the board."""
    metrics = Metrics()
    metrics.info.info({"version": __version__, "transcoder": twin.NAME})
    metrics.queue_bytes.set_function(board.queue_bytes)
    metrics.lag_seconds.set_function(board.lag)
    return metrics
