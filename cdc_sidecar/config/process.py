"""How the process itself behaves: its HTTP server, its log, and how it ends."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from cdc_sidecar.config.address import DEFAULT_LISTEN, Address, parse_address
from cdc_sidecar.config.section import Section
from cdc_sidecar.config.units import Duration


def _address(text: str) -> str:
    parse_address(text)
    return text


class Http(Section):
    """The address of the HTTP server for metrics, health, status and schemas."""

    listen: Annotated[str, AfterValidator(_address)] = DEFAULT_LISTEN

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
        return f"{replace(self.address, port=port).url}/"


class Log(Section):
    """The level and the format of the log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Shutdown(Section):
    """How long a shutdown may take, and whether a halt ends the process."""

    # below the 30 s after which Kubernetes kills a container
    grace: Annotated[Duration, Field(gt=0)] = 25.0
    on_halt: Literal["exit", "stay"] = "exit"
