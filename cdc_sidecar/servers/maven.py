"""Fetches files from Maven Central, once, and proves each by its checksum."""

import base64
import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.host import cache_folder
from cdc_sidecar.servers.scratch import locked

if TYPE_CHECKING:
    from jgo.maven import Artifact, MavenContext

_TRIES = 3
_CONNECTIONS = 8
_LOOK_SECONDS = 0.2
_REQUEST_SECONDS = 60
_LINE_SECONDS = 3.0
_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files that belong together, as `name` in the cache.

    Each of `lines`: group:artifact:version, or with :classifier:packaging, and base64 of SHA-256.
    """

    name: str
    title: str
    lines: str
    total_bytes: int


@dataclass(frozen=True, slots=True)
class _File:
    coordinate: str
    checksum: str


def fetched(bundle: Bundle) -> Path:
    """Return the folder of a bundle, fetched on the first call in the life of the cache.

    Progress goes to stderr. Raises ServerFailed if the files cannot be had.
    """
    return made_once(cache_folder() / bundle.name, partial(_fetch_all, bundle))


def made_once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Return `folder`, which appears at once and whole: what is cut short is nothing.

    `fill` gets an empty folder, and may leave what it likes beside it.
    """
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                _make(folder, fill)
    return folder


def _make(folder: Path, fill: Callable[[Path], None]) -> None:
    unfinished = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "whole").mkdir(parents=True)
    fill(unfinished / "whole")
    (unfinished / "whole").rename(folder)
    shutil.rmtree(unfinished)


def _fetch_all(bundle: Bundle, folder: Path) -> None:
    context = _maven(folder.with_name("repository"))
    files = [_File(*line.split()) for line in bundle.lines.splitlines()]
    with _pool() as pool, _progress(bundle) as report:
        pending = {pool.submit(_fetch, file, context, folder) for file in files}
        while pending:
            done, pending = wait(pending, timeout=_LOOK_SECONDS, return_when=FIRST_EXCEPTION)
            report(_size(folder.parent))
            for fetch in done:
                fetch.result()


def _maven(repository: Path) -> "MavenContext":
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415 - only with the extra `demo`
    except ImportError as error:
        raise ServerFailed("Maven Central needs jgo: pip install 'cdc-sidecar[demo]'") from error
    return MavenContext(repo_cache=repository, local_repos=[], timeout=_REQUEST_SECONDS)


def _fetch(file: _File, context: "MavenContext", folder: Path) -> None:
    group, name, version, *kind = file.coordinate.split(":")
    artifact = context.project(group, name).at_version(version).artifact(*kind)
    path = _resolve(artifact, tries=_TRIES)
    found = base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()
    if found != file.checksum:
        raise ServerFailed(f"{path.name} has SHA-256 {found}, not {file.checksum}: what sent it?")
    path.rename(folder / path.name)


def _resolve(artifact: "Artifact", tries: int) -> Path:
    """Ask again where the network failed; jgo leaves half a file behind then."""
    try:
        return artifact.resolve()
    except (OSError, RuntimeError) as error:
        if artifact.cached_path is not None:
            artifact.cached_path.unlink(missing_ok=True)
        if tries == 1:
            raise ServerFailed(
                f"cannot fetch {artifact} from Maven Central: {error}\n"
                "it needs the network once; HTTPS_PROXY names a proxy, if there is one"
            ) from error
    return _resolve(artifact, tries - 1)


def _size(folder: Path) -> int:
    """Count the bytes that have arrived, while files come, move and go."""
    total = 0
    for path in folder.rglob("*.*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(_CONNECTIONS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _progress(bundle: Bundle) -> Iterator[Callable[[int], None]]:
    """Yield what reports the bytes so far: a bar on a terminal, else a line every few seconds."""
    console = Console(stderr=True)
    title = f"Fetching {bundle.title} from Maven Central (only this once)"
    if not console.is_terminal:
        yield _Lines(title, bundle.total_bytes).report
        return
    columns = [TextColumn("{task.description}"), BarColumn(), DownloadColumn()]
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=bundle.total_bytes)
        yield lambda size: bar.update(task, completed=size)


class _Lines:
    """Progress for those who read a log."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._due = time.monotonic()

    def report(self, size: int) -> None:
        """Print a line, unless the last one is young."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _LINE_SECONDS
            megabytes = f"{size / _MEGABYTE:.0f} of {self._total / _MEGABYTE:.0f} MB"
            print(f"{self._title}: {megabytes}", file=sys.stderr, flush=True)  # noqa: T201
