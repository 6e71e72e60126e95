"""The log lines of sessions that end: one for each reason, and one a minute while it lasts."""

from cdc_sidecar.errors import Disposition, PostgresUnavailable, SidecarError
from cdc_sidecar.logs import Logger
from cdc_sidecar.runtime.outage import Outages


def report_end(log: Logger, outages: Outages, error: SidecarError, *, host: str | None) -> None:
    """Report why a session ended, unless the last line that said so is not a minute old.

    `host` is the server of the configuration.
    """
    if isinstance(error, PostgresUnavailable):
        _report_postgres(log.bind(host=host), outages, error)
    else:
        _report_other(log, outages, error)


def _report_postgres(log: Logger, outages: Outages, error: SidecarError) -> None:
    seconds = outages.postgres.report()
    if seconds == 0:
        log.warning("postgres_went_away", code=error.code, reason=error.fact)
    elif seconds:
        log.warning("postgres_still_away", code=error.code, reason=error.fact, away_seconds=seconds)


def _report_other(log: Logger, outages: Outages, error: SidecarError) -> None:
    """Report another error; refused credentials soon end the process, so each try has a line."""
    lasts = error.disposition is Disposition.RETRY
    seconds = outages.session_failed(error.code) if lasts else 0.0
    if seconds is not None:
        lasting = {"failing_for_seconds": seconds} if seconds else {}
        log.warning("session_ended", **error.parts, **lasting)
