"""The one folder of ours under the system's temporary folder, reachable by the servers' user."""

import fcntl
import functools
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.host import package_home, server_user
from cdc_sidecar.servers.process import can_read


class TemporaryFolder:
    """A folder that is gone after `remove`, or else, whatever ends this process, before the next.

    Its owner holds a lock inside it; a folder whose lock nobody holds is swept away.
    """

    def __init__(self) -> None:
        """Make the folder; the servers' user may enter it."""
        with locked(scratch_folder() / "runs.lock"):
            for left in scratch_folder().glob("run-*"):
                _remove_unless_held(left)
            self.path = Path(tempfile.mkdtemp(prefix="run-", dir=scratch_folder()))
            self.path.chmod(0o755)
            self._lock = _hold(self.path / "lock")

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def scratch_folder() -> Path:
    """Return our folder, made if it is missing; its name follows from the clone's path.

    Raises ServerFailed if something of another user bears its name.
    """
    folder = _scratch_path()
    folder.mkdir(mode=0o755, exist_ok=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
        raise ServerFailed(f"{folder} is not a folder of ours: remove it, or set TMPDIR")
    folder.chmod(0o755)
    return folder


def remove_scratch_folder() -> None:
    """Remove our folder with all that is in it; no server may be running in it."""
    if _scratch_path().exists():
        shutil.rmtree(scratch_folder())


def reachable_folder(folder: Path) -> Path:
    """Make `folder` or, where the servers' user cannot get to it, its stand-in in our own folder.

    The same `folder` always has the same stand-in.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    user = server_user()
    if user is None or can_read(user, folder):
        return folder
    stand_in = scratch_folder() / f"data-{_digest(folder)}"
    stand_in.mkdir(exist_ok=True)
    stand_in.chmod(0o755)
    return stand_in


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, among all processes, for the length of the block."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _hold(path: Path) -> int | None:
    """Take the lock file `path` until the descriptor is closed; None if another has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_unless_held(folder: Path) -> None:
    lock = _hold(folder / "lock")
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _scratch_path() -> Path:
    return _temporary_base() / f"cdc-sidecar-{os.geteuid()}-{_digest(package_home())}"


@functools.cache
def _temporary_base() -> Path:
    user = server_user()
    candidates = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108
    for folder in candidates:
        if user is None or can_read(user, folder):
            return folder
    raise ServerFailed(f"user {user} can enter none of {[*map(str, candidates)]}: set TMPDIR")


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
