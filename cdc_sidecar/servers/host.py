"""What the machine gives to the servers: a port, an environment, a user, a folder to cache in."""

import contextlib
import os
import random
import socket
from pathlib import Path

from cdc_sidecar.errors import ServerFailed

UNPRIVILEGED_USER = 65534

_LOWEST_PORT = 15_000
_FOREIGN_SETTINGS = ("PG", "KAFKA_", "CLASSPATH", "JAVA_", "JDK_JAVA_", "_JAVA_")
_PACKAGE_HOME = Path(__file__).resolve().parents[2]


def clean_environment() -> dict[str, str]:
    """Return the environment without what would steer Postgres' tools, Java or Kafka."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(_FOREIGN_SETTINGS)
    }


def server_user() -> int | None:
    """Return the user that Postgres must run as; None means: whoever we are.

    Postgres refuses to run as root.
    """
    return UNPRIVILEGED_USER if os.geteuid() == 0 else None


def free_port() -> int:
    """Find a free port on 127.0.0.1, below those that the kernel hands out to clients.

    From the kernel's own range, a client that reconnects while its server is down could take the
    port away, or even be connected to itself.
    """
    for _ in range(1000):
        port = random.randrange(_LOWEST_PORT, _first_client_port())  # noqa: S311 - no secret
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerFailed("no port of 127.0.0.1 is free: do thousands of servers run here?")


def _first_client_port() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
    except OSError:
        return 32_768
    return max(int(text.split()[0]), _LOWEST_PORT + 1000)


def package_home() -> Path:
    """Return the folder that holds this package: the root of a clone, or a site-packages."""
    return _PACKAGE_HOME


def cache_folder() -> Path:
    """Return where downloads are kept: `.cache` of a clone, else the user's cache folder."""
    if (_PACKAGE_HOME / "pyproject.toml").is_file():
        return _PACKAGE_HOME / ".cache"
    users = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(users) / "cdc-sidecar"
