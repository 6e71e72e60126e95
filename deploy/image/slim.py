"""Removes from the image's Python what the sidecar never uses, and compiles what it does.

The build of the image runs it once, with the interpreter of the image. The root of a container is
read-only, so a module without bytecode would be compiled at every start. Modules that the sidecar
does not import keep their source, and no bytecode. The bytecode is not compared with the time of
its source, which a copy of the image may change.
"""

import importlib
import pkgutil
import py_compile
import shutil
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_NOT_IN_A_CONTAINER: Final = (
    *("ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tkinter", "turtledemo"),
    *("site-packages/pip", "site-packages/pip-*"),
)
"""Parts of the standard library, and pip; many images have removed some of them already."""
_NOT_IN_THE_IMAGE: Final = ("cdc_sidecar.demo", "cdc_sidecar.servers")
"""Packages that need servers, which the image does not have."""
_IMPORTED_LATER: Final = (
    *("avro.compatibility", "avro.schema", "typer.rich_utils"),
    *("encodings.idna", "psycopg_pool", "rich.console"),
)
"""What functions import, and so the import of their module does not."""


def main() -> None:
    """Slim this interpreter's standard library and its packages."""
    library = Path(sysconfig.get_path("stdlib"))
    packages = Path(sysconfig.get_path("purelib"))
    for pattern in _NOT_IN_A_CONTAINER:
        for unused in library.glob(pattern):
            shutil.rmtree(unused)
    sources = set(used_sources())  # before the bytecode of the imports is removed
    for folder in (library, packages, *map(Path, site.getsitepackages())):
        for compiled in folder.rglob("__pycache__"):
            shutil.rmtree(compiled)
    for source in sources:
        py_compile.compile(
            source, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )


def used_sources() -> Iterator[str]:
    """Import every module of the sidecar; yield the source of each module that this needs."""
    package = importlib.import_module("cdc_sidecar")
    names = [module.name for module in pkgutil.walk_packages(package.__path__, "cdc_sidecar.")]
    for name in (*names, *_IMPORTED_LATER):
        if not name.startswith(_NOT_IN_THE_IMAGE):
            importlib.import_module(name)
    for module in list(sys.modules.values()):
        source = getattr(module, "__file__", None)
        if source and source.endswith(".py"):
            yield source


if __name__ == "__main__":
    main()
