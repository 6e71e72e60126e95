"""`cdc-sidecar position`: the names and options of its commands."""

from typing import Annotated

import typer

from cdc_sidecar.commands.examples import examples
from cdc_sidecar.commands.options import CONFIG, ConfigOption, JsonOption, ReasonOption, YesOption

position = typer.Typer(no_args_is_help=True, help="Show or move the saved position.")


@position.command("show", epilog=examples("position show"))
def position_show(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Show the position, the slot and the source, and whether the sidecar can continue."""
    from cdc_sidecar.commands import position as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.show(config, as_json=as_json))


@position.command("accept-gap", epilog=examples("position accept-gap"))
def position_accept_gap(
    config: ConfigOption = CONFIG,
    yes: YesOption = False,
    reason: ReasonOption = None,
    new_source: Annotated[
        bool,
        typer.Option(
            "--new-source", help="Also accept the current server as the source of this service."
        ),
    ] = False,
) -> None:
    """Continue where the slot starts, and skip the changes that it no longer has.

    The exit status is 1 if there is no gap.
    """
    from cdc_sidecar.commands import position as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.accept_gap(config, yes=yes, reason=reason, new_source=new_source))


@position.command("reset", epilog=examples("position reset"))
def position_reset(
    to: Annotated[str, typer.Option("--to", help="The LSN to continue at, such as 0/15293B8.")],
    config: ConfigOption = CONFIG,
    yes: YesOption = False,
    reason: ReasonOption = None,
) -> None:
    """Continue at an LSN.

    Moving forward skips changes. Moving back publishes changes again.
    """
    from cdc_sidecar.commands import position as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.reset(config, to, yes=yes, reason=reason))


@position.command("move-slot", epilog=examples("position move-slot"))
def position_move_slot(
    config: ConfigOption = CONFIG,
    yes: YesOption = False,
    reason: ReasonOption = None,
    chosen: Annotated[
        str | None,
        typer.Option("--from", help="The transactional id to move, if there are several."),
    ] = None,
) -> None:
    """Continue from the configured slot after postgres.slot has changed.

    A slot that does not exist is created as a copy of the earlier one, so that nothing is lost.
    The exit status is 1 if the position already belongs to the configured slot.
    """
    from cdc_sidecar.commands import position as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.move_slot(config, yes=yes, reason=reason, chosen=chosen))
