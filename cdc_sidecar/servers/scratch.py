"""The folder for data and programs of servers, which the servers' user can reach.

It lies in the system's temporary folder; its name is a digest of the path of the clone.
"""

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
from typing import Final

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.host import package_home, server_user
from cdc_sidecar.servers.process import can_read

# Used if the servers' user cannot enter the folder that TMPDIR names.
_SYSTEM_FOLDERS: Final = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - we check who owns our folder
_DIGEST_LENGTH: Final = 12  # hexadecimal digits: 48 bits tell all clones apart, paths stay short


class TemporaryFolder:
    """A folder that `remove` deletes.

    If its owner is killed first, the next TemporaryFolder deletes it: the owner holds a lock in its
    folder, and a folder whose lock is free has no owner.
    """

    def __init__(self) -> None:
        """Create the folder. The servers' user can enter it."""
        with locked(scratch_folder() / "runs.lock"):
            for earlier in scratch_folder().glob("run-*"):
                _remove_unless_held(earlier)
            self.path = Path(tempfile.mkdtemp(prefix="run-", dir=scratch_folder()))
            self.path.chmod(0o755)
            self._lock = _hold(self.path / "lock")

    def remove(self) -> None:
        """Remove the folder and everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def scratch_folder() -> Path:
    """Return our folder; create it if it is missing.

    Raises:
        ServerFailed: it is not a folder, or it belongs to another user.

    """
    folder = _scratch_path()
    folder.mkdir(mode=0o755, exist_ok=True)
    if not _is_ours(folder.lstat()):
        raise ServerFailed(
            f"{folder} is not a folder of the current user",
            hint="remove it, or set TMPDIR to another folder",
        )
    folder.chmod(0o755)
    return folder


def _is_ours(facts: os.stat_result) -> bool:
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid()


def remove_scratch_folder() -> None:
    """Remove our folder and everything in it. No server may be running in it."""
    if _scratch_path().exists():
        shutil.rmtree(scratch_folder())


def reachable_folder(folder: Path) -> Path:
    """Create and return `folder` or, if the servers' user cannot reach it, a substitute.

    The substitute lies in our own folder; the same `folder` always gets the same one.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    user = server_user()
    if user is None or can_read(user, folder):
        return folder
    substitute = scratch_folder() / f"data-{_digest(folder)}"
    substitute.mkdir(exist_ok=True)
    substitute.chmod(0o755)
    return substitute


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, which is shared by all processes, during the block."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _hold(path: Path) -> int | None:
    """Lock `path` until the descriptor is closed; return None if another process has the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_unless_held(folder: Path) -> None:
    try:
        lock = _hold(folder / "lock")
    except FileNotFoundError:  # its owner has just removed it
        return
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _scratch_path() -> Path:
    return _temporary_base() / f"cdc-sidecar-{os.geteuid()}-{_digest(package_home())}"


@functools.cache
def _temporary_base() -> Path:
    user = server_user()
    candidates = [Path(tempfile.gettempdir()), *_SYSTEM_FOLDERS]
    for folder in candidates:
        if user is None or can_read(user, folder):
            return folder
    raise ServerFailed(
        f"user {user} cannot enter {', '.join(map(str, candidates))}",
        hint="set TMPDIR to a folder that every user can enter",
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:_DIGEST_LENGTH]
