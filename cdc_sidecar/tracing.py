"""OpenTelemetry spans of Kafka transactions, which only this module makes.

A span is made after the commit, for a sample of the transactions, and a thread of the library sends
it. Nothing is done for a row. The packages are imported only if tracing is configured.
"""

import threading
import time
from collections.abc import Mapping
from typing import Final

from cdc_sidecar.config.tracing import Tracing

_EXPORT_TIMEOUT: Final = 5.0
"""Seconds that an export may take; spans that cannot be sent are dropped."""
_FLUSH_TIMEOUT: Final = 1.0
"""Seconds that the end of the process waits for the last spans."""


def tracer_of(config: Tracing, service: str, version: str) -> "Tracer | None":
    """Return the tracer that is configured; `service` and `version` are those of the resource."""
    if config.otlp_endpoint is None:
        return None
    return Tracer(config.otlp_endpoint, config.sample_ratio, service, version)


class Tracer:
    """Makes a span of each transaction in the sample, and sends it by OTLP over HTTP."""

    def __init__(self, endpoint: str, ratio: float, service: str, version: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace.sampling import TraceIdRatioBased  # noqa: PLC0415 - as above

        resource = Resource.create(
            {
                "service.name": "cdc-sidecar",
                "service.namespace": service,
                "service.version": version,
            }
        )
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(ratio), resource=resource, shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(endpoint, timeout=_EXPORT_TIMEOUT)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("cdc_sidecar", version)

    def committed(self, seconds: float, facts: Mapping[str, str | int]) -> None:
        """Record a transaction that took `seconds` and was committed just now."""
        now = time.time_ns()
        begin = now - int(seconds * 1e9)
        span = self._tracer.start_span("kafka transaction", attributes=facts, start_time=begin)
        span.end(now)

    def close(self) -> None:
        """Send what waits, but do not wait long."""
        closing = threading.Thread(target=self._provider.shutdown, name="tracing", daemon=True)
        closing.start()
        closing.join(_FLUSH_TIMEOUT)
