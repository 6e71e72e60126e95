"""How much room each component of an image takes."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_INSTALLED = "opt/cdc-sidecar"
_PYTHON = ("usr/lib/python3", "usr/local/lib/python3", "usr/local/lib/libpython", "usr/bin/python3")
_SMALL = 1_000_000
"""Packages below this many bytes are added up."""


def weigh(root: Path) -> dict[str, int]:
    """Return the bytes of each component, the largest first."""
    weights: Counter[str] = Counter()
    for path, size in _files(root):
        weights[_component(path)] += size
    small = {name for name, size in weights.items() if size < _SMALL}
    weights["smaller packages"] = sum(weights.pop(name) for name in small)
    return dict(weights.most_common())


def _files(root: Path) -> Iterator[tuple[str, int]]:
    """Yield every file once, with its size."""
    seen: set[int] = set()
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            facts = path.lstat()
            if facts.st_ino not in seen:
                seen.add(facts.st_ino)
                yield str(path.relative_to(root)), facts.st_size


def _component(path: str) -> str:
    if path.startswith(_INSTALLED):
        _, _, inside = path.partition("/site-packages/")
        package = inside.partition("/")[0].removesuffix(".libs").removesuffix("_binary")
        return package.partition("-")[0] or _INSTALLED
    return "Python" if path.startswith(_PYTHON) else "Debian"
