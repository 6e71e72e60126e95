"""How the process itself behaves: its HTTP server, its log, and how it ends."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from cdc_sidecar.config.address import DEFAULT_LISTEN, Address, parse_address
from cdc_sidecar.config.secret import SecretString
from cdc_sidecar.config.section import Section
from cdc_sidecar.config.units import Duration


def _address(text: str) -> str:
    parse_address(text)
    return text


class Http(Section):
    """The HTTP server for metrics, health, status and schemas: its address, and who may read."""

    listen: Annotated[str, AfterValidator(_address)] = DEFAULT_LISTEN
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
    def address(self) -> Address:
        """The address as host and port."""
        return parse_address(self.listen)

    @property
    def host(self) -> str:
        """The host of the address, without brackets."""
        return self.address.host

    @property
    def port(self) -> int:
        """The port of the address; 0 means any free port."""
        return self.address.port

    def page(self, port: int) -> str:
        """Return the URL of the status page as a person on this host opens it."""
        return f"{replace(self.address, port=port).url(self.scheme)}/"


class Log(Section):
    """The level and the format of the log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Shutdown(Section):
    """How long a shutdown may take, and whether a halt ends the process."""

    # below the 30 s after which Kubernetes kills a container
    grace: Annotated[Duration, Field(gt=0)] = 25.0
    on_halt: Literal["exit", "stay"] = "exit"
