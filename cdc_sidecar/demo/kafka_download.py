"""Fetches Kafka's jars from Maven Central, once, and proves each by its checksum."""

import base64
import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from cdc_sidecar.demo.host import ServerError, cache_folder
from cdc_sidecar.demo.kafka_jars import KAFKA_JARS, KAFKA_VERSION, TOTAL_BYTES
from cdc_sidecar.demo.scratch import locked

if TYPE_CHECKING:
    from jgo.maven import Artifact, MavenContext

_TITLE = f"Fetching Kafka {KAFKA_VERSION} from Maven Central (only this once)"
_TRIES = 3
_CONNECTIONS = 8
_LOOK_SECONDS = 0.2
_REQUEST_SECONDS = 60
_LINE_SECONDS = 3.0
_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class _Jar:
    group: str
    artifact: str
    version: str
    checksum: str


def kafka_class_path() -> str:
    """Return Java's class path of Kafka, fetched on the first call in the life of the cache.

    Progress goes to stderr. Raises ServerError if the jars cannot be had.
    """
    folder = cache_folder() / f"kafka-{KAFKA_VERSION}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_name("kafka.lock")):
            if not folder.is_dir():
                _fetch_into(folder)
    return f"{folder}/*"


def _fetch_into(folder: Path) -> None:
    """Make `folder` appear at once and whole: what is cut short is nothing."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "jars").mkdir(parents=True)
    _fetch_all(partial)
    (partial / "jars").rename(folder)
    shutil.rmtree(partial)


def _fetch_all(partial: Path) -> None:
    context = _maven(partial / "repository")
    with _pool() as pool, _progress() as report:
        pending = {pool.submit(_fetch, jar, context, partial / "jars") for jar in _jars()}
        while pending:
            done, pending = wait(pending, timeout=_LOOK_SECONDS, return_when=FIRST_EXCEPTION)
            report(_size(partial))
            for fetch in done:
                fetch.result()


def _maven(repository: Path) -> "MavenContext":
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415 - only with the extra `demo`
    except ImportError as error:
        raise ServerError("no Kafka without jgo: pip install 'cdc-sidecar[demo]'") from error
    return MavenContext(repo_cache=repository, local_repos=[], timeout=_REQUEST_SECONDS)


def _jars() -> list[_Jar]:
    return [_Jar(*line.replace(":", " ").split()) for line in KAFKA_JARS.splitlines()]


def _fetch(jar: _Jar, context: "MavenContext", folder: Path) -> None:
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    path = _resolve(artifact, tries=_TRIES)
    found = base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()
    if found != jar.checksum:
        raise ServerError(f"{path.name} has SHA-256 {found}, not {jar.checksum}: what sent it?")
    path.rename(folder / path.name)


def _resolve(artifact: "Artifact", tries: int) -> Path:
    """Ask again where the network failed; jgo leaves half a file behind then."""
    try:
        return artifact.resolve()
    except (OSError, RuntimeError) as error:
        if artifact.cached_path is not None:
            artifact.cached_path.unlink(missing_ok=True)
        if tries == 1:
            raise ServerError(
                f"cannot fetch {artifact} from Maven Central: {error}\n"
                "Kafka needs the network once; HTTPS_PROXY names a proxy, if there is one"
            ) from error
    return _resolve(artifact, tries - 1)


def _size(partial: Path) -> int:
    """Count the bytes that have arrived, while files come, move and go."""
    total = 0
    for path in partial.rglob("*.jar"):
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
def _progress() -> Iterator[Callable[[int], None]]:
    """Yield what reports the bytes so far: a bar on a terminal, else a line every few seconds."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines().report
        return
    columns = [TextColumn("{task.description}"), BarColumn(), DownloadColumn()]
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(_TITLE, total=TOTAL_BYTES)
        yield lambda size: bar.update(task, completed=size)


class _Lines:
    """Progress for those who read a log."""

    def __init__(self) -> None:
        self._due = time.monotonic()

    def report(self, size: int) -> None:
        """Print a line, unless the last one is young."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _LINE_SECONDS
            megabytes = f"{size / _MEGABYTE:.0f} of {TOTAL_BYTES / _MEGABYTE:.0f} MB"
            print(f"{_TITLE}: {megabytes}", file=sys.stderr, flush=True)  # noqa: T201
