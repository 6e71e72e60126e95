"""A Postgres server that can be started, stopped, killed and started again."""

import os
import shlex
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, Self

import psycopg
from psycopg.conninfo import make_conninfo

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.host import free_port, server_user
from cdc_sidecar.servers.managed import ManagedServer
from cdc_sidecar.servers.postgres_installation import default_postgres
from cdc_sidecar.servers.process import Program, run_tool
from cdc_sidecar.servers.scratch import reachable_folder, scratch_folder

StopMode = Literal["smart", "fast", "immediate"]
Setting = str | int | float | bool

_STOP_SIGNALS: Final[Mapping[StopMode, signal.Signals]] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
_LONGEST_SOCKET_PATH: Final = 107  # bytes: sun_path of Linux without its final zero, unix(7)
_START_SECONDS: Final = 60.0  # a start with crash recovery takes seconds, more on a busy machine
_STOP_SECONDS: Final = 60.0  # a fast stop writes a checkpoint, and waits for the walsenders
_PROBE_SECONDS: Final = 2  # one attempt to connect; libpq allows no shorter limit
_INITDB: Final = shlex.split(
    "--username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync --pgdata"
)
_OUR_SETTINGS: Final = "cdc-sidecar.conf"
_DEFAULTS: Final[Mapping[str, Setting]] = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    "max_replication_slots": 20,  # the default is 10; tests hold more at the same time
    "max_wal_senders": 20,
    "dynamic_shared_memory_type": "mmap",  # files in the data folder, which is removed after a kill
}


class PostgresServer(ManagedServer):
    """A Postgres whose superuser `postgres` needs no password."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        settings: Mapping[str, Setting] | None = None,
        fsync: bool = True,
        port: int | None = None,
        bin_folder: Path | None = None,
    ) -> None:
        """Describe the server without starting it.

        `folder` keeps data and log, or a substitute does if the servers' user cannot reach
        `folder`. The attribute `settings` can be changed and takes effect at the next start.
        `fsync=False` is for data that need not survive a crash of the machine; if only the server
        is killed, no data is lost. `bin_folder` selects another installation
        (`installed_postgres`).
        """
        super().__init__("Postgres", folder and reachable_folder(folder))
        self._bin_folder = bin_folder or default_postgres()
        self.settings: dict[str, Setting] = {**_DEFAULTS, "fsync": fsync, **(settings or {})}
        self.port = port or free_port()

    @property
    def socket_folder(self) -> Path | None:
        """The folder of its unix socket, or None if the paths of our folders are too long."""
        for folder in (self.data_folder, scratch_folder()):
            if len(os.fsencode(folder / f".s.PGSQL.{self.port}")) <= _LONGEST_SOCKET_PATH:
                return folder
        return None

    def dsn(self, dbname: str = "postgres") -> str:
        """Return a connection string for a database: over TCP, as superuser."""
        return make_conninfo(host="127.0.0.1", port=self.port, user="postgres", dbname=dbname)

    def bin(self, name: str) -> Path:
        """Return the path of a tool of this installation, such as `pgbench`.

        Raises:
            ServerFailed: the installation does not have it.

        """
        path = self._bin_folder / name
        if not path.is_file():
            raise ServerFailed(f"{self._bin_folder} has no {name}")
        return path

    def start(self, *, seconds: float = _START_SECONDS) -> Self:
        """Start the server; return when it answers.

        Raises:
            ServerFailed: the server ends, or does not answer within `seconds`.

        """
        if not self.data_folder.exists():
            self._initialise()
        self._write_settings()
        process = self._launch(
            Program(
                name=self._name,
                command=[self.bin("postgres"), "-D", self.data_folder],
                folder=self._folder,
                log_path=self.log_path,
                user=server_user(),
                exit_signal=signal.SIGQUIT,
            )
        )
        process.await_ready(self._answers, seconds)
        return self

    def stop(self, mode: StopMode = "fast", *, seconds: float = _STOP_SECONDS) -> None:
        """Stop the server in a mode of Postgres; kill it if it still runs after `seconds`.

        Raises:
            ServerFailed: the server had to be killed.

        """
        if self.is_running():
            self._started().stop(_STOP_SIGNALS[mode], seconds)

    def follow(self, primary: "PostgresServer", slot: str) -> Self:
        """Take a base backup of `primary`; the next start makes a standby with the new `slot`."""
        with self._new_data() as partial:
            run_tool(
                [
                    *(self.bin("pg_basebackup"), "-D", partial, "-d", primary.dsn()),
                    *("-R", "-C", "-S", slot, "-c", "fast", "--no-sync"),
                ],
                folder=self._folder,
                user=server_user(),
            )
        return self

    def copy(self, source: "PostgresServer") -> Self:
        """Copy the files of `source`, a stopped server, including its system identifier."""
        with self._new_data() as partial:
            partial.rmdir()
            shutil.copytree(source.data_folder, partial, symlinks=True)
            user = server_user()
            if user is not None:
                for path in (partial, *partial.rglob("*")):
                    os.chown(path, user, user)
        return self

    def _end_at_once(self) -> None:
        self.stop("immediate")  # unlike SIGKILL, it releases the shared memory

    def _initialise(self) -> None:
        with self._new_data() as partial:
            run_tool(
                [self.bin("initdb"), *_INITDB, partial], folder=self._folder, user=server_user()
            )
            with (partial / "postgresql.conf").open("a", encoding="utf-8") as configuration:
                configuration.write(f"include '{_OUR_SETTINGS}'\n")

    @contextmanager
    def _new_data(self) -> Iterator[Path]:
        """Create the data directory under another name first, so that it is never incomplete."""
        user, partial = server_user(), self._folder / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        if user is not None:
            os.chown(partial, user, user)
        yield partial
        shutil.rmtree(self.data_folder, ignore_errors=True)
        partial.rename(self.data_folder)

    def _write_settings(self) -> None:
        """Write the settings into a file.

        On the command line they would override ALTER SYSTEM.
        """
        settings = {
            "port": self.port,
            "unix_socket_directories": self.socket_folder or "",
            **self.settings,
        }
        lines = [f"{name} = {_quoted(value)}\n" for name, value in settings.items()]
        path = self.data_folder / _OUR_SETTINGS
        path.write_text("".join(lines), encoding="utf-8")
        path.chmod(0o644)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn(), connect_timeout=_PROBE_SECONDS).close()
        except psycopg.OperationalError:
            return False
        return True


def _quoted(value: Setting | Path) -> str:
    text = str(value).replace("\\", "\\\\").replace("'", "''")
    return f"'{text}'"
