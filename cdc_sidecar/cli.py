"""The command line: names, options and exit statuses; the work is in `commands`.

Exit statuses are public API: 0 as asked, 1 the answer is no, 2 wrong usage or configuration, 3
halted, 4 gave up on something that a restart may mend.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cdc_sidecar.errors import SidecarError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Every committed change of one Postgres, in Kafka exactly once.",
)

position = typer.Typer(no_args_is_help=True, help="Show or move the position, by hand.")
app.add_typer(position, name="position")

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The TOML configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it; without, only say what it does.")]
ReasonOption = Annotated[str | None, typer.Option(help="Kept in the position record.")]


def main() -> None:
    """Run the command line; an error of ours is printed without a traceback."""
    try:
        app()
    except SidecarError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the command line's own output
        sys.exit(error.disposition.exit_status)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        from cdc_sidecar import __version__  # noqa: PLC0415 - fast start
        from cdc_sidecar.events.twin import NAME  # noqa: PLC0415

        typer.echo(f"cdc-sidecar {__version__} (transcoder: {NAME})")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Every committed change of one Postgres, in Kafka exactly once."""


@app.command()
def run(
    config: ConfigOption,
    bootstrap: Annotated[
        bool,
        typer.Option(
            "--bootstrap", help="Begin on a slot that has no position: say so once, by hand."
        ),
    ] = False,
) -> None:
    """Stream changes until stopped."""
    from cdc_sidecar.commands import run as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.run(config, bootstrap=bootstrap))


@app.command()
def tail(
    topic: Annotated[
        str | None, typer.Argument(help="A topic; default: all of the service.")
    ] = None,
    config: ConfigOption = Path("config.toml"),
    committed: Annotated[
        bool, typer.Option("--committed/--uncommitted", help="Only what is committed.")
    ] = True,
    from_beginning: Annotated[bool, typer.Option(help="From the first event on.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", help="Stop after N events.")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Stop when nothing came for so many seconds.")
    ] = None,
) -> None:
    """Print events as JSON lines, as they arrive."""
    from cdc_sidecar.commands import tail as command  # noqa: PLC0415 - fast start

    status = command.tail(
        config,
        topic,
        committed=committed,
        from_beginning=from_beginning,
        limit=limit,
        timeout=timeout,
    )
    raise typer.Exit(status)


@app.command()
def check(
    config: ConfigOption,
    as_json: JsonOption = False,
) -> None:
    """Try everything live: one line a check, a hint for each fault; exit 1 if there is one."""
    from cdc_sidecar.commands import check as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.check(config, as_json=as_json))


@app.command("setup-sql")
def setup_sql(config: ConfigOption) -> None:
    """Print what the owner of the database runs: role, grants, publication, slot."""
    from cdc_sidecar.commands import setup_sql as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.setup_sql(config))


@app.command()
def status(
    config: ConfigOption,
    url: Annotated[str | None, typer.Option(help="The sidecar's address.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the sidecar is, or what Postgres and Kafka tell when it is down."""
    from cdc_sidecar.commands import status as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.status(config, url=url, as_json=as_json))


@position.command("show")
def position_show(config: ConfigOption, as_json: JsonOption = False) -> None:
    """Show position, slot and source, and what they mean together."""
    from cdc_sidecar.commands import position as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.show(config, as_json=as_json))


@position.command("accept-gap")
def position_accept_gap(
    config: ConfigOption,
    yes: YesOption = False,
    reason: ReasonOption = None,
    new_source: Annotated[
        bool,
        typer.Option("--new-source", help="Also take the present server as this service's own."),
    ] = False,
) -> None:
    """Go on where the slot begins, leaving out what it no longer has; exit 1 without a gap."""
    from cdc_sidecar.commands import position as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.accept_gap(config, yes=yes, reason=reason, new_source=new_source))


@position.command("reset")
def position_reset(
    config: ConfigOption,
    to: Annotated[str, typer.Option("--to", help="The LSN, such as 0/15293B8.")],
    yes: YesOption = False,
    reason: ReasonOption = None,
) -> None:
    """Go on at an LSN: forward leaves changes out, back publishes them again."""
    from cdc_sidecar.commands import position as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.reset(config, to, yes=yes, reason=reason))


@app.command()
def teardown(config: ConfigOption, yes: YesOption = False) -> None:
    """Remove the slot and the topics that the sidecar made, and nothing else."""
    from cdc_sidecar.commands import teardown as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.teardown(config, yes=yes))


@app.command()
def demo(
    seconds: Annotated[
        float | None, typer.Option(min=5, help="End by itself after so long; default: Ctrl-C.")
    ] = None,
    folder: Annotated[
        Path, typer.Option(help="Where data and logs are kept; an earlier demo is removed.")
    ] = Path(".demo"),
) -> None:
    """Watch a shop reach Kafka exactly once, on servers of its own; exit 1 if it does not."""
    from cdc_sidecar.commands import demo as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.demo(folder, seconds=seconds))
