"""What the image installs is what is tested: the same versions, each with its hashes."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FOLDER = ROOT / "deploy" / "image"
_PIN = re.compile(r"^([\w.-]+)==(\S+) \\$", re.MULTILINE)
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", re.MULTILINE)
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _normal(name: str) -> str:
    """Return a name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins(path: Path, pattern: str = r"^([\w.-]+)==(\S+)") -> dict[str, str]:
    found = re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    return {_normal(name): version for name, version in found}


def _named(requirements: list[str]) -> set[str]:
    names = (re.match(r"[\w.-]+", requirement) for requirement in requirements)
    return {_normal(name[0]) for name in names if name}


@pytest.mark.parametrize("name", ["requirements.txt", "build.txt"])
def test_every_version_is_that_of_the_constraints(name: str) -> None:
    constraints = _pins(ROOT / "constraints.txt")
    locked = _pins(_FOLDER / name)
    assert {key: constraints.get(key) for key in locked} == locked, "run `make image-lock`"


def test_every_dependency_is_locked() -> None:
    assert _named(_PROJECT["project"]["dependencies"]) <= _pins(_FOLDER / "requirements.txt").keys()
    assert _named(_PROJECT["build-system"]["requires"]) == _pins(_FOLDER / "build.txt").keys()


@pytest.mark.parametrize("name", ["requirements.txt", "build.txt", "sbom.txt"])
def test_every_package_has_hashes_and_no_file_names_a_registry(name: str) -> None:
    text = (_FOLDER / name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(_PIN.findall(text)) + len(list(_HASH.finditer(text))) == len(lines)
    for block in _PIN.split(text)[3::3]:
        assert _HASH.search(block)
    assert "://" not in text
    assert "--index" not in text


def test_the_image_has_the_version_of_the_project() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert f"ARG VERSION={_PROJECT['project']['version']}\n" in dockerfile
    assert f'title="{_PROJECT["project"]["name"]}"' in dockerfile
    assert f'description="{_PROJECT["project"]["description"]}"' in dockerfile
    assert f'licenses="{_PROJECT["project"]["license"]}"' in dockerfile
