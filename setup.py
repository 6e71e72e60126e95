"""Builds the compiled hot path if there is a C compiler; everything else is in pyproject.toml."""

import os
from pathlib import Path
from sysconfig import get_config_var

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PACKAGE = Path("cdc_sidecar", "events")
NATIVE = [
    Extension(
        f"cdc_sidecar.events.{source.stem}",
        [str(source)],
        depends=[str(header) for header in sorted(PACKAGE.glob("*.pxd"))],
        extra_compile_args=["-O3"],
    )
    for source in sorted(PACKAGE.glob("*.pyx"))
]


class FreshBuild(build_ext):
    """Removes earlier builds for this Python: without a compiler no stale binary may remain.

    The modules are compiled in parallel.
    """

    def run(self) -> None:
        """Build."""
        self.force = True
        self.parallel = self.parallel or os.cpu_count()
        binaries = f"*{get_config_var('EXT_SUFFIX')}"
        for stale in (*PACKAGE.glob(binaries), *Path("build").glob(f"lib.*/**/{binaries}")):
            stale.unlink()
        super().run()


EXTENSIONS = cythonize(NATIVE, force=True, quiet=True)
for extension in EXTENSIONS:
    extension.optional = True  # cythonize does not keep it

setup(ext_modules=EXTENSIONS, cmdclass={"build_ext": FreshBuild})
