"""Logging with structlog, which only this module imports: text on a terminal, JSON elsewhere.

Event names are past-tense snake_case, facts are keys, LSNs are text. No row value and no secret is
ever passed, and tracebacks contain no local variables. A call that logs never waits and never
raises: the thread of `LogWriter` renders and writes.
"""

import atexit
import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from cdc_sidecar.config.process import Log
from cdc_sidecar.log_limit import Limiter
from cdc_sidecar.log_writer import Event, LogWriter
from cdc_sidecar.process import without

with without("rich"):  # structlog imports it for tracebacks in color: 4 MB, and 60 ms of each start
    import structlog
    from structlog.typing import EventDict

Logger = structlog.typing.FilteringBoundLogger

_STDERR: Final = 2
_FLUSH_TIMEOUT: Final = 1.0
"""Seconds that the end of the process waits for the log: a reader that is at work takes less."""
_LIBRARIES: Final = {
    "librdkafka": logging.WARNING,
    "psycopg": logging.WARNING,
    "psycopg.pool": logging.ERROR,  # it warns at every attempt to connect; we log a failure once
}
"""The lowest level of each library whose log lines are passed on; of all others it is a warning."""

_writer: LogWriter | None = None
_level = logging.INFO
_LEVELS: Final = logging.getLevelNamesMapping()


def configure_logging(config: Log) -> None:
    """Write our log lines and the libraries' warnings to standard error in one form."""
    global _writer  # noqa: PLW0603 - the log of a process is one, as its standard error is
    _writer = writer = LogWriter(_STDERR, _renderer(config), _summary)
    atexit.register(writer.flush, _FLUSH_TIMEOUT)
    structlog.configure(
        processors=[
            _drop_lower,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=lambda: _Sink(writer),
        cache_logger_on_first_use=True,
    )
    set_level(config)
    sys.unraisablehook = _report_unraisable


def configure_quietly() -> None:
    """Write only the errors of a command, which include what its libraries report."""
    configure_logging(Log(level="error"))
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def set_level(config: Log) -> None:
    """Write events of this level and higher ones from now on."""
    global _level  # noqa: PLW0603 - as the writer
    _level = getattr(logging, config.level.upper())
    _pass_on_libraries(_level)


def _drop_lower(_logger: object, method: str, event: EventDict) -> EventDict:
    """Drop an event below the present level; a logger is bound to its class for good."""
    if _LEVELS[method.upper()] < _level:
        raise structlog.DropEvent
    return event


def lines_by_level() -> dict[str, float]:
    """Return how many log lines were written so far, by level."""
    written = dict.fromkeys(("debug", "info", "warning", "error"), 0.0)
    return {**written, **_writer.written} if _writer else written


def lines_dropped() -> int:
    """Return how many log lines were dropped so far."""
    return _writer.dropped if _writer else 0


def flush_log() -> None:
    """Wait a moment until the log is written; called before the process ends."""
    if _writer:
        _writer.flush(_FLUSH_TIMEOUT)


def is_console(config: Log) -> bool:
    """Return whether the log is text for a person."""
    return config.format == "console" or (config.format == "auto" and os.isatty(_STDERR))


def get_logger(**bound: Any) -> Logger:  # noqa: ANN401 - any value can be a fact
    """Return a logger that adds these facts to every event."""
    logger: Logger = structlog.get_logger(**bound)
    return logger


def _renderer(config: Log) -> Callable[[Event], str]:
    """Return what makes a line of an event."""
    if is_console(config):
        colors = os.isatty(_STDERR) and not os.environ.get("NO_COLOR")
        console = structlog.dev.ConsoleRenderer(colors=colors)
        return lambda event: console(None, "", dict(event))
    to_json = structlog.processors.JSONRenderer()
    return lambda event: str(to_json(None, "", _event_first(event)))


def _event_first(event: Event) -> EventDict:
    first = {key: event[key] for key in ("timestamp", "level", "event") if key in event}
    return {**first, **event}


def _summary(count: int) -> Event:
    return {
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "level": "warning",
        "event": "log_lines_dropped",
        "count": count,
    }


class _Sink:
    """The end of structlog's chain: hands events to the writer."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer

    def msg(self, /, **event: Any) -> None:  # noqa: ANN401 - any value can be a fact
        """Hand on an event."""
        self._writer.put(event)

    debug = info = warning = error = critical = exception = msg


def _pass_on_libraries(level: int) -> None:
    """Pass on the warnings of all libraries: their own handler would write in any thread."""
    handler = _Bridge()
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))
    for name, lowest in _LIBRARIES.items():
        library = logging.getLogger(name)
        library.handlers = [handler]
        library.propagate = False
        library.setLevel(max(level, lowest))
    logging.captureWarnings(True)  # noqa: FBT003 - its only parameter


class _Bridge(logging.Handler):
    """Passes libraries' log lines on to structlog; of many in a short time only the first ones."""

    def __init__(self) -> None:
        super().__init__()
        self._limiter = Limiter()

    def emit(self, record: logging.LogRecord) -> None:
        """Log a line as one event with the library's name."""
        passes, left_out = self._limiter.admit(record.name, record.created)
        if passes:
            facts = {"left_out_before": left_out} if left_out else {}
            log = get_logger().bind(library=record.name, **facts)
            log.log(record.levelno, "library_reported", message=_message_of(record))


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # its arguments do not fit
        return str(record.msg)


def _report_unraisable(problem: "sys.UnraisableHookArgs") -> None:
    """Log an exception that no code can receive; the interpreter would write in that thread."""
    trace = problem.exc_traceback
    code = trace.tb_frame.f_code if trace else None
    where = f"{code.co_filename}:{trace.tb_lineno} {code.co_name}" if trace and code else None
    get_logger().error("exception_ignored", kind=problem.exc_type.__name__, where=where)
