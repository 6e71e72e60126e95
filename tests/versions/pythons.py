"""Environments of other Python versions, with the lowest and the newest dependencies."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14")
CORE: Final = ("unit", "acceptance/test_events.py", "acceptance/test_exactly_once.py")
"""The unit tests, and on real servers the events and their delivery."""
_ROOT: Final = Path(__file__).parents[2]
_FOLDER: Final = _ROOT / "build" / "pythons"
_PYENV: Final = Path.home() / ".pyenv" / "versions"


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment that is made in `build/`."""

    version: str
    resolution: str  # of uv: "lowest-direct" or "highest"
    interpreter: str | None

    @property
    def name(self) -> str:
        """What a person calls it."""
        which = {"lowest-direct": "lowest", "highest": "newest"}[self.resolution]
        return f"Python {self.version}, {which} dependencies"

    @property
    def missing(self) -> str:
        """Why it cannot be made; empty if it can."""
        return "" if self.interpreter else f"skipped: no python{self.version} on this machine"

    @property
    def tests(self) -> tuple[str, ...]:
        """The tests to run in it."""
        return CORE

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self._folder / "bin" / "python")

    @property
    def _folder(self) -> Path:
        return _FOLDER / f"{self.version}-{self.resolution}"

    def make(self) -> str:
        """Install the sidecar and its tests' tools; return what failed, or nothing."""
        uv = [sys.executable, "-m", "uv", "--quiet"]
        shutil.rmtree(self._folder, ignore_errors=True)
        for command in (
            [*uv, "venv", "--python", self.interpreter or "", str(self._folder)],
            [*uv, "pip", "install", "--python", self.python, *self._wanted()],
        ):
            result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT)
            if result.returncode:
                return result.stderr.strip().splitlines()[-1]
        return ""

    def _wanted(self) -> list[str]:
        """Return what is installed; the tools of the tests have the tested versions."""
        wanted = ["--resolution", self.resolution, "--editable", ".[otel]"]
        tools = _ROOT / "tests" / "versions" / "tools.txt"
        return [*wanted, "--requirements", str(tools), "--editable", "client[all]"]


def environments() -> Iterator[Environment]:
    """Yield each version with the lowest and with the newest dependencies."""
    for version in VERSIONS:
        for resolution in ("lowest-direct", "highest"):
            yield Environment(version, resolution, _interpreter(version))


def _interpreter(version: str) -> str | None:
    """Return the path of an interpreter: on the PATH, or installed by pyenv."""
    found = shutil.which(f"python{version}")
    installed = sorted(_PYENV.glob(f"{version}.*/bin/python"))
    candidates = [*(str(path) for path in reversed(installed)), *([found] if found else [])]
    return next(filter(_runs, candidates), None)


def _runs(interpreter: str) -> bool:
    """Return whether an interpreter starts: a shim of pyenv may not."""
    try:
        asked = subprocess.run([interpreter, "--version"], capture_output=True, check=False)
    except OSError:
        return False
    return asked.returncode == 0
