"""The command line of `cdc-sidecar snapshot`; the work is done in `commands.snapshot`."""

from typing import Annotated

import typer

from cdc_sidecar.commands.examples import examples
from cdc_sidecar.commands.options import CONFIG, ConfigOption, JsonOption

snapshot = typer.Typer(
    no_args_is_help=True, help="Send rows that tables already have, and see how far that is."
)

Tables = Annotated[list[str], typer.Argument(metavar="TABLE…", help="Such as public.orders.")]
SomeTables = Annotated[
    list[str] | None, typer.Argument(metavar="[TABLE…]", help="Default: all open snapshots.")
]


@snapshot.command("start", epilog=examples("snapshot start"))
def start(
    tables: Tables,
    config: ConfigOption = CONFIG,
    where: Annotated[
        str, typer.Option(help="Send only rows for which this condition of SQL holds.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show how each table would be read.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Send the rows of tables, again if they were sent before, while the stream flows."""
    from cdc_sidecar.commands import snapshot as command  # noqa: PLC0415 - fast start

    plan = command.plan(config, tables, as_json=as_json) if dry_run else None
    raise typer.Exit(command.ask(config, "start", tables, where=where) if plan is None else plan)


@snapshot.command("pause", epilog=examples("snapshot pause"))
def pause(tables: SomeTables = None, config: ConfigOption = CONFIG) -> None:
    """Read nothing more for now; the stream flows on."""
    from cdc_sidecar.commands import snapshot as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.ask(config, "pause", tables or []))


@snapshot.command("resume", epilog=examples("snapshot resume"))
def resume(tables: SomeTables = None, config: ConfigOption = CONFIG) -> None:
    """Go on where a pause began."""
    from cdc_sidecar.commands import snapshot as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.ask(config, "resume", tables or []))


@snapshot.command("cancel", epilog=examples("snapshot cancel"))
def cancel(tables: SomeTables = None, config: ConfigOption = CONFIG) -> None:
    """Give up open snapshots. What is published stays."""
    from cdc_sidecar.commands import snapshot as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.ask(config, "cancel", tables or []))


@snapshot.command("rate", epilog=examples("snapshot rate"))
def rate(
    rows: Annotated[int, typer.Argument(min=0, help="Rows in a second at most. 0: as configured.")],
    config: ConfigOption = CONFIG,
) -> None:
    """Limit how fast the open snapshots are read."""
    from cdc_sidecar.commands import snapshot as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.ask(config, "rate", [], rate=rows))


@snapshot.command("status", epilog=examples("snapshot status"))
def status(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Show how far the snapshot of each table is, and what it waits for."""
    from cdc_sidecar.commands import snapshot as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.status(config, as_json=as_json))
