"""Keeps the record of the last run, for `status` when the process is gone; see `kafka.last_run`."""

import threading
from dataclasses import replace

from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import (
    Disposition,
    PositionElsewhere,
    SidecarError,
    SourceChanged,
    WalWentBack,
)
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.kafka.last_run import LastRun, Reason, RunState, write_last_run
from cdc_sidecar.logs import Logger

_ANOTHER_SERVICE = (PositionElsewhere, SourceChanged, WalWentBack)
"""Errors of a sidecar that may be a copy of another one: it leaves the record of that one alone."""


class RunKeeper:
    """Writes the record when the stream begins and when the process ends.

    Whether it can be written decides nothing: a failure is logged.
    """

    def __init__(self, config: Config, version: str, log: Logger) -> None:
        self._config = config
        self._version = version
        self._log = log
        self._writer: threading.Thread | None = None

    def streaming(self) -> None:
        """Note that the stream has begun; the first session's thread does not wait for it."""
        if self._writer is None:
            run = LastRun.now(RunState.STREAMING, self._version)
            self._writer = threading.Thread(
                target=self._write, args=(run,), name="last-run", daemon=True
            )
            self._writer.start()

    def stopped(self) -> None:
        """Note that the process was stopped, if it has streamed."""
        if self._writer:
            self._end(LastRun.now(RunState.STOPPED, self._version))

    def ended(self, error: SidecarError) -> None:
        """Note the error with which the process ends."""
        if not isinstance(error, _ANOTHER_SERVICE):
            gave_up = error.disposition in (Disposition.GIVE_UP, Disposition.RETRY)
            state = RunState.GAVE_UP if gave_up else RunState.HALTED
            self._end(LastRun.now(state, self._version, Reason.of(error)))

    def _end(self, run: LastRun) -> None:
        if self._writer:
            self._writer.join()  # it has time-outs of its own
        self._write(run)

    def _configured(self, run: LastRun) -> LastRun:
        """Return the record of a run that has published, with its configuration."""
        if self._writer is None:
            return run
        capture = Capture.of(self._config)
        return replace(run, fingerprint=capture.fingerprint, settings=capture.settings)

    def _write(self, run: LastRun) -> None:
        try:
            write_last_run(self._config, self._configured(run))
        except SidecarError as error:
            self._log.warning("last_run_not_recorded", state=run.state.value, error=error.fact)
