"""Fetches files from Maven Central once and verifies each by its checksum."""

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
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.host import EXTRA_HINT, cache_folder
from cdc_sidecar.servers.scratch import locked

if TYPE_CHECKING:
    from jgo.maven import Artifact, MavenContext

_TRIES: Final = 3  # for each file: a single broken connection is common, three are an outage
_CONNECTIONS: Final = 8  # the files are small and many: one connection would mostly wait
_POLL_SECONDS: Final = 0.2  # between two updates of the progress: the bar moves smoothly
_REQUEST_SECONDS: Final = 60  # without an answer: a stalled connection is then tried again
_LINE_SECONDS: Final = 3.0  # between two lines of progress, so that a log stays short
_MEGABYTE: Final = 1_000_000  # as download sizes are usually given


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files that belong together, kept in the folder `name` of the cache.

    Each of `lines` has a coordinate, group:artifact:version[:classifier:packaging], and the SHA-256
    of the file in base64.
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
    """Return the folder of a bundle; fetch the bundle if the cache does not have it yet.

    The progress is printed to stderr.

    Raises:
        ServerFailed: a file cannot be fetched or has a wrong checksum.

    """
    return made_once(cache_folder() / bundle.name, partial(_fetch_all, bundle))


def made_once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Return `folder`; if it is missing, let `fill` create its content.

    `fill` gets an empty folder and may leave other files beside it. The folder gets its name only
    when it is complete, so an interrupted call leaves no half-filled folder.
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
            done, pending = wait(pending, timeout=_POLL_SECONDS, return_when=FIRST_EXCEPTION)
            report(_size(folder.parent))
            for fetch in done:
                fetch.result()


def _maven(repository: Path) -> "MavenContext":
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415 - the extra `demo` may be missing
    except ImportError as error:
        raise ServerFailed("jgo is not installed", hint=EXTRA_HINT) from error
    return MavenContext(repo_cache=repository, local_repos=[], timeout=_REQUEST_SECONDS)


def _fetch(file: _File, context: "MavenContext", folder: Path) -> None:
    group, name, version, *kind = file.coordinate.split(":")
    artifact = context.project(group, name).at_version(version).artifact(*kind)
    path = _resolve(artifact, tries=_TRIES)
    found = base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()
    if found != file.checksum:
        raise ServerFailed(
            f"{path.name} has SHA-256 {found}, expected {file.checksum}",
            cause="a proxy or a mirror sent another file than Maven Central",
            hint="fetch it over another network",
        )
    path.rename(folder / path.name)


def _resolve(artifact: "Artifact", tries: int) -> Path:
    """Fetch one file; try again after a network error, which leaves half a file behind."""
    try:
        return artifact.resolve()
    except (OSError, RuntimeError) as error:
        if artifact.cached_path is not None:
            artifact.cached_path.unlink(missing_ok=True)
        if tries == 1:
            raise ServerFailed(
                f"cannot fetch {artifact} from Maven Central: {error}",
                cause="the first use needs the network",
                hint="connect to the network; if there is a proxy, set HTTPS_PROXY",
            ) from error
    return _resolve(artifact, tries - 1)


def _size(folder: Path) -> int:
    """Return the number of bytes that have arrived. Files may move while it counts."""
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
    """Yield a function that shows the bytes so far: as a bar on a terminal, else in lines."""
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
    """Progress as lines of text, for output that is no terminal."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._due = time.monotonic()

    def report(self, size: int) -> None:
        """Print a line, but not more often than every `_LINE_SECONDS`."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _LINE_SECONDS
            megabytes = f"{size / _MEGABYTE:.0f} of {self._total / _MEGABYTE:.0f} MB"
            print(f"{self._title}: {megabytes}", file=sys.stderr, flush=True)  # noqa: T201 - progress
