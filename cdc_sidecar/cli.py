"""The command line: names, options and exit statuses; the work is done in `commands`.

Exit statuses are public API: 0 success, 1 the answer is no, 2 wrong usage or configuration, 3
halted, 4 gave up (a restart may help).
"""

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cdc_sidecar.commands.examples import examples
from cdc_sidecar.commands.options import (
    CONFIG,
    ConfigOption,
    JsonOption,
    OutboxShape,
    YesOption,
)
from cdc_sidecar.commands.outbox_cli import outbox
from cdc_sidecar.commands.position_cli import position
from cdc_sidecar.commands.snapshot_cli import snapshot
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.process import complain

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    help="Publish every committed change of one Postgres database to Kafka, exactly once.",
    epilog="`cdc-sidecar help COMMAND` shows a command with examples.",
)

app.add_typer(position, name="position")
app.add_typer(outbox, name="outbox")
app.add_typer(snapshot, name="snapshot")


def main() -> None:
    """Run the command line; a `SidecarError` is printed without a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a row may hold what the locale cannot write
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except SidecarError as error:
        complain(str(error))
        sys.exit(error.disposition.exit_status)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer passes the value by position
    if wanted:
        from cdc_sidecar import __version__  # noqa: PLC0415 - fast start
        from cdc_sidecar.events.twin import NAME  # noqa: PLC0415 - fast start

        typer.echo(f"cdc-sidecar {__version__} (transcoder: {NAME})")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Publish every committed change of one Postgres database to Kafka, exactly once."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        context.color = False


@app.command("help")
def show_help(
    context: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="The command to explain.")
    ] = None,
) -> None:
    """Show the commands, or one of them with its options and examples."""
    from cdc_sidecar.commands import help as command  # noqa: PLC0415 - fast start

    command.show(context, words or [])


@app.command(epilog=examples("init"))
def init(
    config: ConfigOption = CONFIG,
    dsn: Annotated[
        str | None,
        typer.Option(
            help="A database whose tables and keys to propose, for a role that may read the "
            "catalog. An empty text takes everything from libpq's variables."
        ),
    ] = None,
    service: Annotated[
        str | None, typer.Option(help="The name of the service. Default: that of the database.")
    ] = None,
    brokers: Annotated[
        str, typer.Option("--bootstrap-servers", help="The Kafka brokers.")
    ] = "localhost:9092",
    role: Annotated[str, typer.Option(help="The Postgres role of the sidecar.")] = "cdc_sidecar",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a commented configuration, on request for the tables of an existing database."""
    from cdc_sidecar.commands import init as command  # noqa: PLC0415 - fast start

    wishes = command.Wishes(dsn, service, brokers, role, force)
    raise typer.Exit(command.init(config, wishes))


@app.command(epilog=examples("run"))
def run(
    config: ConfigOption = CONFIG,
    bootstrap: Annotated[
        bool,
        typer.Option(
            "--bootstrap",
            help="Start from an existing slot that has no saved position. "
            "Needed once, at the first start.",
        ),
    ] = False,
) -> None:
    """Stream changes to Kafka until stopped."""
    from cdc_sidecar.commands import run as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.run(config, bootstrap=bootstrap))


@app.command(epilog=examples("tail"))
def tail(
    topic: Annotated[
        str | None,
        typer.Argument(
            help="A topic, a table such as public.orders, or an outbox. Default: all of the "
            "service."
        ),
    ] = None,
    config: ConfigOption = CONFIG,
    committed: Annotated[
        bool,
        typer.Option(
            "--committed/--uncommitted",
            help="Print only events of committed transactions, or all events.",
        ),
    ] = True,
    from_beginning: Annotated[
        bool, typer.Option(help="Start at the first event instead of the next one.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="Stop after this many events.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Stop when no event arrived for this many seconds.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON on a terminal too, as a pipe gets it.")
    ] = False,
) -> None:
    """Print events as they arrive, one line for each: readable on a terminal, JSON in a pipe."""
    from cdc_sidecar.commands import tail as command  # noqa: PLC0415 - fast start

    wishes = command.Wishes(topic, committed, from_beginning, limit, timeout, as_json)
    raise typer.Exit(command.tail(config, wishes))


@app.command(epilog=examples("parked"))
def parked(
    name: Annotated[
        str | None,
        typer.Argument(help="A table such as public.orders, or an outbox. Default: all."),
    ] = None,
    config: ConfigOption = CONFIG,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="Show only the newest N events.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the events that could not be published, and why.

    They are in topics of their own, because `on_error = "park"` lets the stream go on without them.
    """
    from cdc_sidecar.commands import parked as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.parked(config, command.Wishes(name, limit, as_json)))


@app.command(epilog=examples("check"))
def check(
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Check the configuration against the running Postgres and Kafka.

    Prints one line for each check, and a hint for each fault and each warning.
    The exit status is 1 if there is a fault, and 2 if the configuration cannot be used.
    """
    from cdc_sidecar.commands import check as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.check(config, as_json=as_json))


@app.command("setup-sql", epilog=examples("setup-sql"))
def setup_sql(
    config: ConfigOption = CONFIG,
    diff: Annotated[
        bool, typer.Option("--diff", help="Ask the database, and print only what is missing.")
    ] = False,
    dsn: Annotated[
        str | None,
        typer.Option(help="With --diff: connect as another role than the sidecar's."),
    ] = None,
    outbox: Annotated[
        OutboxShape | None,
        typer.Option(
            help="Print the SQL of an outbox instead: its table, its grants, and a function with "
            "which a service in any language emits events."
        ),
    ] = None,
) -> None:
    """Print the SQL that prepares the database: role, grants, publication and slot."""
    from cdc_sidecar.commands import setup_sql as command  # noqa: PLC0415 - fast start

    if outbox and diff:
        message = "the SQL of an outbox is the same for every database: leave out --diff"
        raise typer.BadParameter(message, param_hint="--outbox")
    if outbox:
        raise typer.Exit(command.setup_outbox(config, outbox.value))
    raise typer.Exit(command.setup_diff(config, dsn) if diff else command.setup_sql(config))


@app.command(epilog=examples("status"))
def status(
    config: ConfigOption = CONFIG,
    url: Annotated[
        str | None,
        typer.Option(help="The URL of the sidecar. Default: the address in \\[http] listen."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the sidecar's state or, if it is down, what Postgres and Kafka report."""
    from cdc_sidecar.commands import status as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.status(config, url=url, as_json=as_json))


@app.command(epilog=examples("health"))
def health(
    config: ConfigOption = CONFIG,
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask whether it streams or stands by (/readyz).")
    ] = False,
) -> None:
    """Ask the sidecar on this host whether it works (/livez), as a HEALTHCHECK does."""
    from cdc_sidecar.commands import health as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.health(config, ready=ready))


@app.command(epilog=examples("teardown"))
def teardown(config: ConfigOption = CONFIG, yes: YesOption = False) -> None:
    """Remove the slot and the topics that the sidecar created, and nothing else."""
    from cdc_sidecar.commands import teardown as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.teardown(config, yes=yes))


@app.command(epilog=examples("demo"))
def demo(
    seconds: Annotated[
        float | None,
        typer.Option(min=5, help="Stop after this many seconds. Default: run until Ctrl-C."),
    ] = None,
    folder: Annotated[
        Path, typer.Option(help="The folder for data and logs. An earlier demo in it is removed.")
    ] = Path(".demo"),
) -> None:
    """Watch the changes of a shop reach Kafka exactly once while the sidecar is killed.

    The demo starts its own servers. The exit status is 1 if an event is missing or repeated.
    """
    from cdc_sidecar.commands import demo as command  # noqa: PLC0415 - fast start

    raise typer.Exit(command.demo(folder, seconds=seconds))
