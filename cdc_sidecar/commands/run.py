"""`cdc-sidecar run`: runs the daemon and its HTTP server."""

from pathlib import Path

from cdc_sidecar.config.load import load_config
from cdc_sidecar.http.pages import Pages
from cdc_sidecar.http.server import HttpServer
from cdc_sidecar.logs import configure_logging, flush_log
from cdc_sidecar.process import hold_signals
from cdc_sidecar.runtime.crash import CrashGuard
from cdc_sidecar.runtime.daemon import Daemon


def run(path: Path, *, bootstrap: bool) -> int:
    """Run until stopped; return the exit status.

    Raises:
        SidecarError: the sidecar could not start.

    """
    hold_signals()
    with CrashGuard():
        config = load_config(path)
        configure_logging(config.log)
        try:
            daemon = Daemon(config, lambda: load_config(path), bootstrap=bootstrap)
            pages = Pages(daemon.board, daemon.metrics, daemon.served)
            return daemon.run(HttpServer(config.http, pages))
        finally:
            flush_log()
