"""`cdc-sidecar teardown`: removes the slot and the topics that the sidecar made, when told to."""

from pathlib import Path

import typer

from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config, Log
from cdc_sidecar.logs import configure_logging
from cdc_sidecar.runtime.teardown import Estate, survey, tear_down


def teardown(path: Path, *, yes: bool) -> int:
    """List what would be removed; with `yes` remove it.

    Raises:
        SidecarError: a sidecar lives, this is another source, or Postgres or Kafka is away.

    """
    config = load_config(path)
    configure_logging(Log(level="error"))
    if yes:
        _tear_down(config)
    else:
        _survey(config)
    return 0


def _tear_down(config: Config) -> None:
    removed = [_tell(name) for name in tear_down(config)]
    if not removed:
        typer.echo("nothing to remove")


def _tell(name: str) -> str:
    typer.echo(f"removed  {name}")
    return name


def _survey(config: Config) -> None:
    estate = survey(config)
    typer.echo("\n".join(_describe(estate)))
    if not estate.is_empty:
        typer.secho("nothing was changed: call it again with --yes to do this", bold=True)


def _describe(estate: Estate) -> list[str]:
    if estate.is_empty:
        lines = ["nothing to remove"]
    else:
        slot = [f"slot {estate.slot}"] if estate.slot else []
        lines = [f"removes  {name}" for name in [*slot, *(f"topic {n}" for n in estate.topics)]]
    return lines + [f"leaves   {name}" for name in estate.left]
