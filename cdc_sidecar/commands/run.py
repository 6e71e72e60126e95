"""`cdc-sidecar run`: the daemon."""

from pathlib import Path

from cdc_sidecar.config.load import load_config
from cdc_sidecar.runtime.daemon import run_daemon


def run(config: Path, *, bootstrap: bool) -> int:
    """Run until stopped; return the exit status.

    Raises:
        SidecarError: it could not start.

    """
    return run_daemon(load_config(config), bootstrap=bootstrap)
