"""`cdc-sidecar help`: the help of a command, as `--help` after its name shows it."""

from collections.abc import Sequence

import typer


def show(context: typer.Context, words: Sequence[str]) -> None:
    """Show the help of the command with these words, or of the whole command line."""
    root = context.find_root()
    with root.command.make_context(root.info_name, [*words, "--help"]) as shown:
        root.command.invoke(shown)
