"""The base class of all servers: start, stop, kill, restart, and the folder with the data."""

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.process import Program, ServerProcess
from cdc_sidecar.servers.scratch import TemporaryFolder


class ManagedServer(ABC):
    """A server on 127.0.0.1 with a folder of its own.

    It can be stopped and started again any number of times; data and ports stay the same. As a
    context manager it starts on entry; on exit it stops, and its data is removed if no folder was
    given.
    """

    def __init__(self, name: str, folder: Path | None) -> None:
        """Describe the server without starting it."""
        self._name = name
        self._temporary = TemporaryFolder() if folder is None else None
        self._folder = self._temporary.path if self._temporary else Path(folder or "").resolve()
        self._process: ServerProcess | None = None

    def __enter__(self) -> Self:
        """Start the server."""
        return self.start()

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Close the server."""
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the server itself.

        Raises:
            ServerFailed: the server was never started.

        """
        return self._started().pid

    @property
    def log_path(self) -> Path:
        """The file to which the server's output is appended."""
        return self._folder / f"{self._name.lower()}.log"

    @property
    def data_folder(self) -> Path:
        """The folder with the server's data."""
        return self._folder / "data"

    def is_running(self) -> bool:
        """Return whether the server runs."""
        return self._process is not None and self._process.is_alive()

    @abstractmethod
    def start(self) -> Self:
        """Start the server; return when it answers.

        Raises:
            ServerFailed: it does not start or does not answer in time.

        """

    @abstractmethod
    def stop(self) -> None:
        """Shut the server down in order; do nothing if it does not run."""

    def kill(self) -> None:
        """End every process of the server with SIGKILL; return when all of them have ended."""
        if self.is_running():
            self._started().kill()

    def restart(self) -> Self:
        """Stop the server in order and start it again."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Stop the server for good.

        If a folder was given, the server shuts down in order and its data stays. Otherwise it is
        killed and its data removed.
        """
        if self._temporary is None:
            self.stop()
        else:
            self._end_at_once()
            self._temporary.remove()

    def _end_at_once(self) -> None:
        self.kill()

    def _launch(self, program: Program) -> ServerProcess:
        if self.is_running():
            raise ServerFailed(f"{self._name} already runs as process {self.pid}")
        self._process = ServerProcess(program)
        return self._process

    def _started(self) -> ServerProcess:
        if self._process is None:
            raise ServerFailed(f"{self._name} was not started")
        return self._process
