"""What our Postgres and our Kafka have in common: a life that starts, stops and starts again."""

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.process import Program, ServerProcess
from cdc_sidecar.servers.scratch import TemporaryFolder


class ManagedServer(ABC):
    """A server on 127.0.0.1 with a folder of its own.

    Start and stop it as often as you like: data and ports stay. As a context manager it starts on
    entry; on exit it is stopped, and its data is removed if no folder was given.
    """

    def __init__(self, name: str, folder: Path | None) -> None:
        """Describe the server; nothing runs yet."""
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
        """Close it."""
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the server itself; raises ServerFailed if it was never started."""
        return self._started().pid

    @property
    def log_path(self) -> Path:
        """Where everything that the server says is appended."""
        return self._folder / f"{self._name.lower()}.log"

    @property
    def data_folder(self) -> Path:
        """Where its data is."""
        return self._folder / "data"

    def is_running(self) -> bool:
        """Tell whether the server runs."""
        return self._process is not None and self._process.is_alive()

    @abstractmethod
    def start(self) -> Self:
        """Start, and return once the server answers; raises ServerFailed if it does not."""

    @abstractmethod
    def stop(self) -> None:
        """Stop in order; does nothing where nothing runs."""

    def kill(self) -> None:
        """End every process of the server with SIGKILL; returns when all of them are gone."""
        if self.is_running():
            self._started().kill()

    def restart(self) -> Self:
        """Stop in order and start again."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Stop for good: in order if the data is kept, else at once, and remove it."""
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
