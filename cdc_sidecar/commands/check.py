"""`cdc-sidecar check`: tries everything live, and prints a line for each check."""

import json
from pathlib import Path

import typer

from cdc_sidecar.commands.progress import Progress
from cdc_sidecar.commands.status import ask_sidecar
from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config
from cdc_sidecar.config.process import Log
from cdc_sidecar.errors import HttpUnavailable
from cdc_sidecar.http.server import try_address
from cdc_sidecar.logs import configure_logging
from cdc_sidecar.operations.inspection import Finding, Report, inspect


def check(path: Path, *, as_json: bool) -> int:
    """Print every finding; return 1 if one is a fault.

    Raises:
        ConfigInvalid: the configuration is wrong; nothing was checked.

    """
    config = load_config(path)
    configure_logging(Log(level="error"))
    with Progress() as progress:
        printer = _Printer(progress, quiet=as_json)
        report = Report(printer)
        inspect(config, report)
        report.attempt("http", lambda: _try_address(config), lambda how: how)
    return printer.conclude()


class _Printer:
    """Prints findings as they come, or all of them as JSON at the end."""

    def __init__(self, progress: Progress, *, quiet: bool) -> None:
        self._progress = progress
        self._quiet = quiet
        self._findings: list[Finding] = []

    def begun(self, subject: str) -> None:
        """Show that a check takes long, if it does."""
        self._progress.begin(subject)

    def found(self, finding: Finding) -> None:
        """Print the finding."""
        self._progress.end()
        self._findings.append(finding)
        if not self._quiet:
            _print(finding)

    def conclude(self) -> int:
        """Print the sum; return the exit status."""
        faults = sum(finding.error is not None for finding in self._findings)
        if self._quiet:
            checks = [finding.as_json() for finding in self._findings]
            typer.echo(json.dumps({"version": 1, "ok": not faults, "checks": checks}, indent=2))
        else:
            typer.echo(f"{len(self._findings)} checks, {faults} fault{'s' * (faults != 1)}")
        return 1 if faults else 0


def _try_address(config: Config) -> str:
    """Bind the address as `run` does; our own running sidecar may have it."""
    try:
        try_address(config.http)
    except HttpUnavailable:
        status = ask_sidecar(config.http.address.url)
        if status is None or status.get("service") != config.service.name:
            raise
        return f"{config.http.listen}, in use by the running sidecar"
    return config.http.listen


def _print(finding: Finding) -> None:
    if finding.error is not None:
        typer.secho("FAULT ", fg="red", nl=False)
        typer.echo(f"{finding.subject}: {finding.error}")
        return
    if finding.warning:
        typer.secho("warn  ", fg="yellow", nl=False)
        typer.echo(f"{finding.subject}: {finding.detail}: {finding.warning}")
        return
    typer.secho("ok    ", fg="green", nl=False)
    typer.echo(f"{finding.subject}: {finding.detail}")
