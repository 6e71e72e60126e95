"""Prometheus, Alertmanager and their tools: installed ones, or Debian's packages in `.cache`.

`python -m tests.monitoring.tools` fetches Debian's packages of what is missing. Nothing is
installed into the system.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import pytest

from cdc_sidecar.servers.host import cache_folder

_FOLDER: Final = cache_folder() / "monitoring-tools"
_UNPACKED: Final = _FOLDER / "root"
_TEMPLATES: Final = Path("/usr/share/prometheus/alertmanager")
"""Where Debian's Alertmanager looks for its templates, wherever it is itself."""
_WITH_TEMPLATES: Final = (
    *(shutil.which("unshare") or "unshare", "--map-root-user", "--mount", "sh", "-c"),
    'mount --bind "$0" /usr/share && exec "$@"',
    str(_UNPACKED / "usr" / "share"),
)
"""Starts a program that sees the unpacked files there; the system does not change."""
_PACKAGES: Final = ("prometheus", "prometheus-alertmanager")
_NAMES: Final = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "amtool": ("amtool",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
}
"""Each program by the names that it has, upstream and in Debian."""


def program(name: str) -> Path | None:
    """Return the path of a program, or None if it is missing."""
    unpacked = _UNPACKED / "usr" / "bin"
    for spelling in _NAMES[name]:
        found = shutil.which(spelling, path=unpacked) or shutil.which(spelling)
        if found:
            return Path(found)
    return None


def command(name: str) -> list[str | Path]:
    """Return the command that starts a program."""
    path = program(name)
    assert path, f"{name} is not installed"
    wrapped = name == "alertmanager" and path.is_relative_to(_UNPACKED) and not _TEMPLATES.exists()
    return [*(_WITH_TEMPLATES if wrapped else ()), path]


def missing() -> list[str]:
    """Return the names of the programs that are missing, or cannot be started here."""
    return [name for name in _NAMES if program(name) is None or not _starts(name)]


def _starts(name: str) -> bool:
    try:
        done = subprocess.run([*command(name), "--version"], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


needed = pytest.mark.skipif(
    bool(missing()),
    reason=f"{', '.join(missing())} not installed: make monitoring-test fetches Debian's packages,"
    " or install Prometheus and Alertmanager",
)


def fetch() -> None:
    """Download the packages and unpack them; do nothing where apt-get is missing."""
    if not missing():
        return
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        print("no apt-get here: install Prometheus and Alertmanager, or these tests are skipped")
        return
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_FOLDER) as name:
        folder = Path(name)
        print("fetching", *_PACKAGES, "(30 MB)")
        subprocess.run(["apt-get", "download", "--quiet", *_PACKAGES], cwd=folder, check=True)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "--extract", package, _UNPACKED], check=True)


if __name__ == "__main__":
    fetch()
