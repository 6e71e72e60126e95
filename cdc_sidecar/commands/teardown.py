"""`cdc-sidecar teardown`: removes the slot and the topics that the sidecar created."""

from pathlib import Path

import typer

from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config
from cdc_sidecar.logs import configure_quietly
from cdc_sidecar.operations.teardown import Removal, plan_teardown, tear_down


def teardown(path: Path, *, yes: bool) -> int:
    """List what would be removed; with `yes` remove it.

    Raises:
        SidecarError: a sidecar is running, the position is of another source, or Postgres or Kafka
            is not available.

    """
    config = load_config(path)
    configure_quietly()
    if yes:
        _tear_down(config)
    else:
        _show_plan(config)
    return 0


def _tear_down(config: Config) -> None:
    removed = [_report(name) for name in tear_down(config)]
    if not removed:
        typer.echo("nothing to remove")


def _report(name: str) -> str:
    typer.echo(f"removed  {name}")
    return name


def _show_plan(config: Config) -> None:
    removal = plan_teardown(config)
    typer.echo("\n".join(_describe(removal)))
    if not removal.is_empty:
        typer.secho("this was a dry run: add --yes to remove it", bold=True)


def _describe(removal: Removal) -> list[str]:
    if removal.is_empty:
        lines = ["nothing to remove"]
    else:
        slot = [f"slot {removal.slot}"] if removal.slot else []
        lines = [f"removes  {name}" for name in [*slot, *(f"topic {n}" for n in removal.topics)]]
    return lines + [f"leaves   {name}" for name in removal.left]
