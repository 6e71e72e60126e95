"""`cdc-sidecar check`: tries everything live, and prints a line for each check."""

import json
from pathlib import Path

import typer

from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Log
from cdc_sidecar.logs import configure_logging
from cdc_sidecar.operations.inspection import Finding, Inspection

NOT_YET = "rows older than the slot are not sent: this version has no snapshots"


def check(path: Path, *, as_json: bool) -> int:
    """Print every finding; return 1 if one is a fault.

    Raises:
        ConfigInvalid: the configuration is wrong; nothing was checked.

    """
    config = load_config(path)
    configure_logging(Log(level="error"))
    findings = []
    for finding in Inspection(config).run():
        findings.append(finding)
        if not as_json:
            _print(finding)
    faults = sum(finding.error is not None for finding in findings)
    if as_json:
        body = {"version": 1, "ok": not faults, "checks": [f.as_json() for f in findings]}
        typer.echo(json.dumps(body, indent=2))
    else:
        typer.secho(f"note  {NOT_YET}", dim=True)
        typer.echo(f"{len(findings)} checks, {faults} fault{'s' * (faults != 1)}")
    return 1 if faults else 0


def _print(finding: Finding) -> None:
    if finding.error is None:
        typer.secho("ok    ", fg="green", nl=False)
        typer.echo(f"{finding.subject}: {finding.detail}")
        return
    typer.secho("FAULT ", fg="red", nl=False)
    typer.echo(f"{finding.subject}: {finding.error}")
