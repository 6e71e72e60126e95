"""How the process itself behaves: its HTTP server, its log, and how it ends."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from cdc_sidecar.config.secret import SecretString
from cdc_sidecar.config.section import Section
from cdc_sidecar.config.units import Duration

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:\s]+):(\d{1,5})")
"""A host or an IPv6 address in brackets, and a port."""
_MAX_PORT = 65535  # TCP has 16 bits for it


def _address(text: str) -> str:
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[2]) > _MAX_PORT:
        message = 'must be host:port, such as "0.0.0.0:9464"'
        raise ValueError(message)
    return text


class Http(Section):
    """The HTTP server for metrics, health, status and schemas: its address, and who may read."""

    # the port that OpenTelemetry's Prometheus exporters use
    listen: Annotated[str, AfterValidator(_address)] = "0.0.0.0:9464"
    # PEM files, read again when they change
    tls_certificate: Annotated[str, Field(min_length=1)] | None = None
    tls_key: Annotated[str, Field(min_length=1)] | None = None
    username: SecretString | None = None
    password: SecretString | None = None
    bearer_token: SecretString | None = None

    @model_validator(mode="after")
    def _in_pairs(self) -> "Http":
        for one, other in (("tls_certificate", "tls_key"), ("username", "password")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                message = f"{one} and {other} belong together; set both, or neither"
                raise ValueError(message)
        return self

    @property
    def scheme(self) -> str:
        """The scheme of its URLs."""
        return "https" if self.tls_certificate else "http"

    @property
    def host(self) -> str:
        """The host of the address, without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port of the address; 0 means any free port."""
        return int(self.listen.rpartition(":")[2])

    def page(self, port: int) -> str:
        """Return the URL of the status page as a person on this host opens it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - read
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


class Log(Section):
    """The level and the format of the log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Shutdown(Section):
    """How long a shutdown may take, and whether a halt ends the process."""

    # below the 30 s after which Kubernetes kills a container
    grace: Annotated[Duration, Field(gt=0)] = 25.0
    on_halt: Literal["exit", "stay"] = "exit"
