"""The address of the HTTP server, as the configuration writes it and as a client reaches it."""

import re
from dataclasses import dataclass
from typing import Final

DEFAULT_LISTEN: Final = "0.0.0.0:9464"  # the port that OpenTelemetry's Prometheus exporters use
_WRITTEN = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:\s]+):(\d{1,5})")
"""A host or an IPv6 address in brackets, and a port."""
_MAX_PORT: Final = 65535  # TCP has 16 bits for it
_EVERY_INTERFACE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - only compared with


@dataclass(frozen=True, slots=True)
class Address:
    """A host without brackets, and a port. Port 0 means any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write it as the configuration does."""
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def reachable_host(self) -> str:
        """The host to which a client on this machine connects."""
        return _EVERY_INTERFACE.get(self.host, self.host)

    def url(self, scheme: str = "http") -> str:
        """Return the URL for a client on this machine, without a slash at its end."""
        return f"{scheme}://{_bracketed(self.reachable_host)}:{self.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def parse_address(text: str) -> Address:
    """Return the address that `host:port` or `[IPv6]:port` names.

    Raises:
        ValueError: the text has another form.

    """
    match = _WRITTEN.fullmatch(text)
    if match is None or int(match[2]) > _MAX_PORT:
        message = f'must be host:port, such as "{DEFAULT_LISTEN}"'
        raise ValueError(message)
    return Address(match[1].strip("[]"), int(match[2]))
