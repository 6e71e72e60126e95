"""The trace of OpenTelemetry in which an event is emitted, if the service uses it."""

from collections.abc import Callable
from functools import cache

Inject = Callable[[dict[str, str]], None]


def trace_of_caller() -> dict[str, str]:
    """Return `traceparent` and `tracestate` of the current span, as W3C's Trace Context has them.

    The dict is empty without a current span, or if `opentelemetry-api` is not installed.
    """
    carrier: dict[str, str] = {}
    _injector()(carrier)
    return carrier


@cache
def _injector() -> Inject:
    try:
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - optional
            TraceContextTextMapPropagator,
        )
    except ImportError:
        return lambda _carrier: None
    return TraceContextTextMapPropagator().inject
