"""The two base images, from Debian's packages: no registry of images is needed.

They stand in for `python:3.13` and `python:3.13-slim`, which are made of the same release of Debian
and have the same version of Python, compiled by others. The documentation is left out in the same
way. The archives are kept in `.cache`.
"""

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cdc_sidecar.servers.host import package_home
from tests.image.engine import Engine

_CACHE: Final = package_home() / ".cache" / "image"
_RELEASE: Final = "trixie"
_PATH: Final = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DOCUMENTATION: Final = ("doc", "groff", "info", "lintian", "locale", "man")


@dataclass(frozen=True, slots=True)
class Base:
    """An image of Docker Hub, and what stands in for it."""

    name: str
    packages: tuple[str, ...]
    programs: tuple[str, ...]  # what /usr/local/bin has, and where Debian has it


_SLIM: Final = ("python3", "ca-certificates", "netbase", "tzdata")
BASES: Final = (
    Base("docker.io/library/python:3.13-slim", _SLIM, ("python:python3",)),
    Base(
        "docker.io/library/python:3.13",
        (*_SLIM, "python3-dev", "python3-venv", "python3-pip", "gcc", "libc6-dev"),
        ("python:python3", "pip:pip"),
    ),
)


def make_base(engine: Engine, base: Base) -> None:
    """Make a base image in the storage of the engine."""
    container = engine.buildah("from", "--pull-never", "scratch")
    engine.buildah("add", container, _archive(base), "/")
    engine.buildah("config", "--env", f"PATH={_PATH}", container)
    root = Path(engine.buildah("mount", container))
    for program in base.programs:
        name, _, target = program.partition(":")
        (root / "usr/local/bin" / name).symlink_to(f"/usr/bin/{target}")
    for mark in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        mark.unlink()  # Docker's images let pip install
    engine.buildah("umount", container)
    engine.buildah("commit", "--rm", container, base.name)


def _archive(base: Base) -> Path:
    """Return the archive of the files of a base image; make it if it is missing."""
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _DOCUMENTATION]
    copyrights = "--dpkgopt=path-include=/usr/share/doc/*/copyright"
    words = [
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", *excluded, copyrights),
        *(f"--include={','.join(base.packages)}", _RELEASE),
    ]
    digest = hashlib.sha256(" ".join(words).encode()).hexdigest()
    archive = _CACHE / f"base-{digest[:12]}.tar"
    if not archive.is_file():
        _CACHE.mkdir(parents=True, exist_ok=True)
        part = archive.with_suffix(".part.tar")
        subprocess.run([*words, part], check=True)
        part.rename(archive)
    return archive
