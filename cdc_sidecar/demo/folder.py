"""The demo's folder: locked while the demo runs, and emptied before it starts."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cdc_sidecar.errors import DemoUnavailable
from cdc_sidecar.servers.scratch import reachable_folder

_LOCK: Final = "demo.lock"  # its presence also marks a folder as ours


@contextmanager
def demo_folder(folder: Path) -> Iterator[Path]:
    """Create `folder`, or remove an earlier demo from it; lock it during the block.

    Raises DemoUnavailable if it contains anything else, or if a demo runs in it.
    """
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise DemoUnavailable(f"{folder} is no folder: name another with --folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / _LOCK).exists():
        raise DemoUnavailable(
            f"{folder} holds something other than a demo: name another with --folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(descriptor, folder)
        _empty(folder)
        yield folder
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DemoUnavailable(
            f"a demo already runs in {folder}: name another with --folder"
        ) from error


def _empty(folder: Path) -> None:
    """Remove the files of an earlier demo, also from the substitute for Postgres' folder."""
    shutil.rmtree(reachable_folder(folder / "postgres"))
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()
