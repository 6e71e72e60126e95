"""The command line of `cdc-sidecar outbox`; the work is done in `commands.outbox`."""

from typing import Annotated

import typer

from cdc_sidecar.commands.examples import examples
from cdc_sidecar.commands.options import CONFIG, ConfigOption, JsonOption

outbox = typer.Typer(
    no_args_is_help=True, help="Show what outbox tables hold, and remove what is published."
)

Table = Annotated[
    str | None, typer.Argument(metavar="[TABLE]", help="Default: every outbox table.")
]


@outbox.command("status", epilog=examples("outbox status"))
def status(table: Table = None, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Show rows, age and size of outbox tables, and what is not published yet."""
    from cdc_sidecar.commands import outbox as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.status(config, table, as_json=as_json))


@outbox.command("prune", epilog=examples("outbox prune"))
def prune(
    older_than: Annotated[str, typer.Option(help="Keep younger rows; such as 1h, 30m or 0s.")],
    table: Table = None,
    config: ConfigOption = CONFIG,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait until what was written is published.")
    ] = 30.0,
) -> None:
    """Delete rows that are published and older than an age, in small batches."""
    from cdc_sidecar.commands import outbox as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.prune(config, table, older_than, timeout))
