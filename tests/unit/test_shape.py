"""Modules and functions stay small enough to be read at a glance; the limits are CONTRIBUTING's."""

import ast
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (
    *("cdc_sidecar", "client/cdc_sidecar_client", "deploy/monitoring", "examples"),
    *("benchmarks", "tests"),
)
MODULE_LINES = 350
FUNCTION_LINES = 40
USUAL_LINES = 16  # of nine functions in ten
_COMPILED = re.compile(r"^ *(?:def|cdef|cpdef)\b[^=\n]*\(")
"""The first line of a function in Cython, as our sources write it."""


def _modules(*suffixes: str) -> list[Path]:
    return sorted(
        path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in suffixes
    )


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield name and length of each function of a module, its docstring included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield f"{path.relative_to(ROOT)}: {node.name}", (node.end_lineno or 0) - node.lineno + 1


def _compiled_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield first line and length of each function of a Cython module, up to the next one."""
    lines = path.read_text(encoding="utf-8").splitlines()
    starts = [number for number, line in enumerate(lines) if _COMPILED.match(line)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield f"{path.relative_to(ROOT)}: {lines[start].strip()}", end - start


def test_no_module_is_too_long() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in _modules(".py", ".pyx", ".pxd")
    }
    assert {name: lines for name, lines in lengths.items() if lines > MODULE_LINES} == {}


def test_no_function_is_too_long() -> None:
    lengths = [each for path in _modules(".py") for each in _functions(path)]
    lengths += [each for path in _modules(".pyx", ".pxd") for each in _compiled_functions(path)]
    assert [each for each in lengths if each[1] > FUNCTION_LINES] == []


@pytest.mark.parametrize("folder", ["cdc_sidecar", "tests"])
def test_nine_functions_in_ten_are_short(folder: str) -> None:
    paths = (ROOT / folder).rglob("*.py")
    lengths = sorted(lines for path in paths for _, lines in _functions(path))
    assert lengths[math.ceil(len(lengths) * 0.9) - 1] <= USUAL_LINES
