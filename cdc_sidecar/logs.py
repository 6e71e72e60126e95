"""Logging with structlog, which only this module imports: text on a terminal, JSON elsewhere.

Event names are past-tense snake_case, facts are keys, LSNs are text. No row value and no secret is
ever passed, and tracebacks contain no local variables.
"""

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from cdc_sidecar.config.model import Log

Logger = structlog.typing.FilteringBoundLogger

_LIBRARIES = {
    "librdkafka": logging.WARNING,
    "psycopg": logging.WARNING,
    "psycopg.pool": logging.ERROR,  # it warns at every attempt to connect; we log a failure once
}
"""The lowest level of each library whose log lines are passed on."""


def configure_logging(config: Log) -> None:
    """Write our log lines and the libraries' warnings to standard error in one form."""
    level = getattr(logging, config.level.upper())
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *_form(config)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = _Bridge()
    for name, lowest in _LIBRARIES.items():
        library = logging.getLogger(name)
        library.handlers = [handler]
        library.propagate = False
        library.setLevel(max(level, lowest))


def _form(config: Log) -> list[Processor]:
    console = config.format == "console" or (config.format == "auto" and sys.stderr.isatty())
    if console:
        plain = structlog.dev.plain_traceback
        return [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
        ]
    return [structlog.processors.format_exc_info, _event_first, structlog.processors.JSONRenderer()]


def _event_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return {**first, **event}


class _Bridge(logging.Handler):
    """Passes a library's log lines on to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a line as one event with the library's name."""
        log = get_logger().bind(library=record.name)
        log.log(record.levelno, "library_reported", message=record.getMessage())


def get_logger(**bound: Any) -> Logger:  # noqa: ANN401 - any value can be a fact
    """Return a logger that adds these facts to every event."""
    logger: Logger = structlog.get_logger(**bound)
    return logger
