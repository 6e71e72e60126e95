"""The daemon: starts what outlives a session, begins sessions until asked to stop, and says why.

Called by `cdc-sidecar run` in the main thread; its result is the exit status.
"""

import gc
import os
import random
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final

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
from cdc_sidecar.events.subjects import Subjects
from cdc_sidecar.logs import configure_logging, get_logger
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.runtime.guardian import Guardian
from cdc_sidecar.runtime.http import HttpServer
from cdc_sidecar.runtime.memory import calm_allocator, calm_collector
from cdc_sidecar.runtime.resources import Resources
from cdc_sidecar.runtime.session import Session
from cdc_sidecar.runtime.state import Phase, State, StateBoard

_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
FIRST_BACKOFF: Final = 0.5  # seconds
LAST_BACKOFF: Final = 30.0  # seconds
HEALTHY_AFTER: Final = 30.0  # seconds of streaming after which the back-off begins anew
FENCES_ALLOWED: Final = 5
FENCES_WITHIN: Final = 600.0  # seconds


def run_daemon(config: Config, *, bootstrap: bool) -> int:
    """Run until stopped or halted; return the exit status.

    Raises:
        SidecarError: it could not even start.

    """
    configure_logging(config.log)
    calm_allocator()
    calm_collector()
    armed = failpoints.arm(os.environ.get(failpoints.VARIABLE, ""))
    return _Supervisor(config, bootstrap=bootstrap).run(armed)


class _Supervisor:
    def __init__(self, config: Config, *, bootstrap: bool) -> None:
        self._log = get_logger(service=config.service.name)
        state = State(
            config.service.name,
            config.postgres.slot,
            config.transactional_id,
            __version__,
            time.time(),
        )
        self._resources = Resources(
            config=config,
            version=__version__,
            database=Database(config.postgres),
            registry=Subjects(),
            board=StateBoard(state),
            metrics=Metrics(),
            log=self._log,
            stopping=threading.Event(),
            walsenders=set(),
            bootstrap=bootstrap,
        )
        self._resources.metrics.info.info({"version": __version__, "transcoder": twin.NAME})
        self._session: Session | None = None
        self._fences: deque[float] = deque(maxlen=FENCES_ALLOWED)
        self._backoff = FIRST_BACKOFF

    def run(self, armed: tuple[str, ...]) -> int:
        resources = self._resources
        self._catch_signals()
        server = HttpServer(resources)
        server.start()
        threading.excepthook = self._take_crash
        self._log.info("sidecar_started", version=__version__, http_port=server.port)
        if armed:
            self._log.warning("failpoints_armed", points=armed)
        self._start_guardian()
        try:
            return self._supervise()
        finally:
            resources.stopping.set()
            server.stop()
            resources.database.close()

    def _catch_signals(self) -> None:
        """Wait for signals in a thread of their own, begun before any other.

        A signal that the kernel hands to another thread would be seen by Python's main thread only
        when it next wakes: in a back-off after the grace period.
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

    def _take_crash(self, crash: threading.ExceptHookArgs) -> None:
        """End the session when a thread of ours dies of a bug: silence would pass for idleness.

        The message of the exception is left out: it may hold a row value.
        """
        name = crash.thread.name if crash.thread else "unknown"
        frames = traceback.extract_tb(crash.exc_traceback)
        places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        error = InternalError(
            f"{crash.exc_type.__name__} in thread {name}",
            where=" < ".join(reversed(places)),
            hint="report it with these lines; a restart goes on from the position",
        )
        self._log.error("thread_crashed", thread=name, where=error.where)
        self._fail_session(error)

    def _fail_session(self, error: SidecarError) -> None:
        session = self._session  # the main thread may take it away meanwhile
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
            board=resources.board,
            metrics=resources.metrics,
            log=self._log,
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
                self._release()
                self._stay(status)
                return status
        self._resources.board.update(phase=Phase.STOPPED, phase_since=time.time())
        self._log.info("sidecar_stopped")
        return 0

    def _run_session(self, number: int) -> int | None:
        """Run one session; return the exit status, or None where another may follow."""
        gc.collect()  # the session before holds its producer in a cycle of error and traceback
        self._session = Session(self._resources, number)
        try:
            self._session.run()
        except SidecarError as error:
            status = self._judge(error)
            if status is None:
                self._back_off(error)
            return status
        return None

    def _release(self) -> None:
        """Drop the producer: what ended the session, and the lag's gauge, hold on to it."""
        self._session = None
        self._resources.metrics.count_lag_from(time.time())
        gc.collect()

    def _stay(self, status: int) -> None:
        """After a halt wait for the signal to end, if so configured; the pages tell why."""
        halted = status == Disposition.HALT.exit_status
        if halted and self._resources.config.shutdown.on_halt == "stay":
            self._log.warning("halt_held", until="SIGTERM")
            self._resources.stopping.wait()
            self._log.info("sidecar_stopped", exit_status=status)

    def _judge(self, error: SidecarError) -> int | None:
        """Return the exit status, or None where another session may mend it."""
        self._resources.metrics.sessions.labels(error.code).inc()
        if isinstance(error, ProducerFenced):
            self._fences.append(time.monotonic())
            full = len(self._fences) == FENCES_ALLOWED
            if full and time.monotonic() - self._fences[0] < FENCES_WITHIN:
                error = FencedTooOften(
                    f"{FENCES_ALLOWED} times within {FENCES_WITHIN:.0f} s; last: {error.fact}",
                    cause="another producer uses our transactional id, or transaction_timeout is"
                    " too short",
                    hint="look for another producer with this id",
                )
        if error.disposition is Disposition.RETRY:
            return None
        self._resources.board.update(phase=Phase.HALTED, phase_since=time.time(), error=str(error))
        self._log.error(
            "sidecar_halted",
            code=error.code,
            title=error.title,
            fact=error.fact,
            where=error.where,
            cause=error.cause,
            hint=error.hint,
        )
        return error.disposition.exit_status

    def _back_off(self, error: SidecarError) -> None:
        session, self._session = self._session, None
        self._resources.metrics.count_lag_from(time.time())
        since = session.streaming_since if session else None
        if since is not None and time.monotonic() - since > HEALTHY_AFTER:
            self._backoff = FIRST_BACKOFF
        seconds = self._backoff * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        self._backoff = min(self._backoff * 2, LAST_BACKOFF)
        if self._resources.stopping.is_set():
            return
        self._resources.board.update(
            phase=Phase.BACKING_OFF, phase_since=time.time(), error=str(error)
        )
        self._log.warning(
            "session_ended",
            code=error.code,
            title=error.title,
            fact=error.fact,
            retry_in_seconds=round(seconds, 1),
        )
        self._resources.stopping.wait(seconds)
        self._resources.board.update(error=None)
