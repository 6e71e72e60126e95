"""Buildah and Podman in a storage of their own: nothing of the machine's images is touched.

Both run without a daemon. The packages come from Debian where they are missing.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from cdc_sidecar.servers.scratch import TemporaryFolder

_PROGRAMS: Final = ("buildah", "podman", "runc", "mmdebstrap")
_INSTALL: Final = ("apt-get", "-o", "DPkg::Lock::Timeout=120", "install", "--yes")
_LIMITS: Final = ("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=1000:1000")
"""Podman's own limits are higher than those that a process without CAP_SYS_RESOURCE may set."""
_RESTRICTED: Final = (
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all"),
    *("--security-opt", "no-new-privileges"),
)


def why_not() -> str:
    """Return why there can be no engine on this machine; an empty text if there is one.

    Packages that are missing are installed.
    """
    if os.geteuid():
        return "images are built by root only: run `make image-test` as root"
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing and shutil.which("apt-get"):
        words = [*_INSTALL, "--no-install-recommends", *missing]
        subprocess.run(["apt-get", "--quiet", "update"], check=False, capture_output=True)
        subprocess.run(words, check=False, capture_output=True)
        missing = [program for program in missing if shutil.which(program) is None]
    if missing:
        return f"install the Debian packages {', '.join(missing)}: apt-get cannot do it here"
    return ""


class Engine:
    """Builds and runs images; `close` ends every container, and removes every image."""

    def __init__(self) -> None:
        """Make an empty storage."""
        self._folder = TemporaryFolder()
        path = self._folder.path
        storage, registries = path / "storage.conf", path / "registries.conf"
        storage.write_text(
            f'[storage]\ndriver = "vfs"\nrunroot = "{path}/run"\ngraphroot = "{path}/images"\n'
        )
        registries.write_text('unqualified-search-registries = ["docker.io"]\n')
        self._environment = os.environ | {
            "CONTAINERS_STORAGE_CONF": str(storage),
            "CONTAINERS_REGISTRIES_CONF": str(registries),
            "BUILDAH_ISOLATION": "chroot",
        }

    def close(self) -> None:
        """Remove the storage."""
        self.podman("rm", "--all", "--force", "--time", "0")
        self.buildah("rm", "--all")
        self._folder.remove()

    def buildah(self, *words: str | Path) -> str:
        """Run buildah; return what it printed, and fail with what it said."""
        return self._run("buildah", *words)

    def podman(self, *words: str | Path) -> str:
        """Run podman; return what it printed, and fail with what it said."""
        return self._run("podman", "--cgroup-manager", "cgroupfs", "--runtime", "runc", *words)

    def build(self, context: Path, tag: str) -> None:
        """Build the Dockerfile of a folder, with Docker's format, which keeps HEALTHCHECK."""
        certificates = "/etc/ssl/certs:/etc/ssl/certs:ro"  # of a proxy before the registries
        words = ("--pull-never", "--format", "docker", "--volume", certificates, "--tag", tag)
        self.buildah("build", *words, context)

    def inspect(self, image: str) -> dict[str, Any]:
        """Return what Podman knows of an image."""
        (found,) = json.loads(self.podman("image", "inspect", image))
        return dict(found)

    def mount(self, image: str) -> Path:
        """Return the folder with the files of an image; they are there until `close`."""
        container = self.buildah("from", "--pull-never", image)
        return Path(self.buildah("mount", container))

    def create(self, image: str, config: Path) -> str:
        """Make a container with the rights of a restricted pod; return its id."""
        mounted = f"{config}:/etc/cdc-sidecar/config.toml:ro"
        words = ("--pull=never", "--network", "host", "--no-healthcheck", "--volume", mounted)
        return self.podman("create", *words, *_LIMITS, *_RESTRICTED, image)

    def state(self, container: str) -> dict[str, Any]:
        """Return the state of a container."""
        return dict(json.loads(self.podman("inspect", "--format", "{{json .State}}", container)))

    def _run(self, *words: str | Path) -> str:
        run = subprocess.run(
            list(map(str, words)),
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{' '.join(map(str, words))}\n{run.stdout}{run.stderr}"
        return run.stdout.strip()
