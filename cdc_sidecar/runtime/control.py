"""The Unix socket by which commands reach a running sidecar: one line of JSON each way.

Only the user that runs the sidecar may connect (mode 0600). The HTTP port is open to the pod, so it
takes no commands.
"""

import json
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from cdc_sidecar.errors import SidecarError
from cdc_sidecar.logs import Logger
from cdc_sidecar.runtime.snapshot_requests import SnapshotRequests, request_of

_LONGEST: Final = 65_536
"""Bytes of a request: the names of a thousand tables."""
_PATIENCE: Final = 5.0
"""Seconds in which a client must send its request."""
_BACKLOG: Final = 4


class ControlSocket:
    """Serves one client after the other, in a thread of its own."""

    def __init__(self, path: Path, requests: SnapshotRequests, log: Logger) -> None:
        self._path = path
        self._requests = requests
        self._log = log
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Listen, and serve in a thread. Without a place for the socket the sidecar runs on."""
        try:
            self._socket = self._listen()
        except OSError as error:
            self._log.warning(
                "control_unavailable",
                path=str(self._path),
                reason=error.strerror or str(error),
                hint="mount an emptyDir or tmpfs there, or set snapshot.socket; until then no"
                " snapshot command reaches this sidecar",
            )
            return
        threading.Thread(target=self._serve, name="control", daemon=True).start()

    def stop(self) -> None:
        """Remove the socket."""
        if self._socket:
            self._socket.close()
            with suppress(OSError):
                self._path.unlink()

    def _listen(self) -> socket.socket:
        """Return the listening socket; one that a dead process has left is replaced."""
        if self._path.exists() and not _answers(self._path):
            self._path.unlink()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            mask = os.umask(0o177)
            try:
                listening.bind(str(self._path))
            finally:
                os.umask(mask)
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
        return listening

    def _serve(self) -> None:
        assert self._socket  # noqa: S101 - `start` has made it
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:  # it was closed
                return
            with client, suppress(OSError):
                client.settimeout(_PATIENCE)
                answer = self._answer(_read_line(client))
                client.sendall(json.dumps(answer).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            message = json.loads(line)
        except ValueError:
            message = {}
        try:
            request = request_of(message if isinstance(message, dict) else {})
            tables = self._requests.ask(request)
        except SidecarError as error:
            facts = {name: getattr(error, name) for name in ("code", "title", "fact", "hint")}
            return {"ok": False, **facts}
        self._log.info("snapshot_requested", action=request.action, tables=tables)
        return {"ok": True, "tables": tables}


def _answers(path: Path) -> bool:
    """Whether a process listens at a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(str(path)) == 0


def _read_line(client: socket.socket) -> bytes:
    """Return the first line that a client sends."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _LONGEST:
        part = client.recv(_LONGEST)
        if not part:
            break
        line += part
    return line
