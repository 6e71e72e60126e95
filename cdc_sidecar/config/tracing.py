"""Whether Kafka transactions are traced, and where to."""

from importlib.util import find_spec
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from cdc_sidecar.config.section import Section

_TRACES: Final = "/v1/traces"
"""The path of traces in OTLP over HTTP (OpenTelemetry Protocol, "OTLP/HTTP Request")."""


def _endpoint(text: str) -> str:
    """Return the URL of traces; the URL of a collector without a path means its usual path."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        message = 'must be the URL of a collector, such as "http://localhost:4318"'
        raise ValueError(message)
    return text.rstrip("/") + _TRACES if parts.path in ("", "/") else text


class Tracing(Section):
    """Spans of Kafka transactions for an OpenTelemetry collector."""

    otlp_endpoint: Annotated[str, AfterValidator(_endpoint)] | None = None
    # a busy sidecar commits hundreds of transactions a second
    sample_ratio: Annotated[float, Field(gt=0, le=1)] = 0.01

    @model_validator(mode="after")
    def _installed(self) -> "Tracing":
        if self.otlp_endpoint and not _is_installed():
            message = (
                "otlp_endpoint needs packages that are not installed:"
                " pip install 'cdc-sidecar[otel]'"
            )
            raise ValueError(message)
        return self


def _is_installed() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # a package above it
        return False
